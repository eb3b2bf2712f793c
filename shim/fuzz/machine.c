/* A fake of everything that acts on the machine. */
#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "held.h"
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
