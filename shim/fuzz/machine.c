/* A fake of everything that acts on the machine. */
#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "container.h"
#include "held.h"
#include "inside.h"
#include "runs.h"

/* Objects without memory of their own, so that removing them is enough. */
static char path[] = "/path";

static struct held *make(enum object_kind kind, const struct making *making, bool *is_new) {
  *is_new = false;
  if (!is_text(making->path, 1, sizeof path)) {
    errno = EINVAL;
    return NULL;
  }
  struct held *held = find_object(kind, making->name);
  if (held != NULL) return held;
  held = add_object(kind, making->name, sizeof *held);
  if (held == NULL) return NULL;
  held->path = path;
  *is_new = true;
  return held;
}

struct held *listen_at(const struct making *making, bool *is_new) {
  return make(OBJECT_SOCKET, making, is_new);
}

struct held *hold_fifo(const struct making *making, bool *is_new) {
  return make(OBJECT_FIFO, making, is_new);
}

int watch_client(struct held *socket, uint64_t number) {
  socket->watching = socket->client = true;
  socket->watch = number;
  mark_changed(&socket->object);
  return 0;
}

void unwatch_client(struct held *socket) {
  socket->watching = socket->client = false;
  unmark_changed(&socket->object);
}

uint64_t socket_inode(const struct held *socket) {
  return socket->watch;
}

bool is_shut(const struct held *socket) {
  return socket->watching;
}

bool is_queued(const struct held *socket) {
  return socket->client;
}

int close_held(struct held *held) {
  remove_object(&held->object);
  return 0;
}

struct run *launch_run(struct plan *plan) {
  struct run *run = add_object(OBJECT_RUN, plan->name, sizeof *run);
  if (run == NULL) return NULL;
  run->pid = 2;
  run->state = RUN_LAUNCHED;
  mark_changed(&run->object);
  return run;
}

int forget_run(struct run *run) {
  discard_again(run);
  remove_object(&run->object);
  return 0;
}

uint64_t now_ms(void) {
  return 0;
}

bool is_populated(const char *cgroup) {
  return cgroup == NULL;
}

int copy_cgroup(const char *from, const char *to) {
  return from == to ? -1 : 0;
}

size_t count_live_runs(void) {
  return 1;
}

bool is_inside, is_ending;

bool is_alone(void) {
  return true;
}

int signal_run(const struct run *run, int number, bool all) {
  return run->pid == number && all ? -1 : 0;
}

struct held *take_held(enum object_kind kind, struct text name, int fd) {
  return fd < 0 ? NULL : add_object(kind, name, sizeof(struct held));
}

struct container *admit_container(struct text name, struct held *socket) {
  struct container *container = add_object(OBJECT_CONTAINER, name, sizeof *container);
  if (container != NULL) container->gone = socket->watching;
  return container;
}

int give_held(struct container *container, struct held *held) {
  mark_changed(&container->object);
  return held->client ? -1 : 0;
}

int forward_to(struct container *container, struct text frame) {
  container->received = frame.length;
  return container->gone ? -1 : 0;
}

void put_forwarded(struct writer *writer) {
  (void)writer;
}

void close_container(struct container *container) {
  remove_object(&container->object);
}
