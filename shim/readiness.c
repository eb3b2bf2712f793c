#define _GNU_SOURCE
#include "readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "linger.h"
#include "reserve.h"

/* Bytes that are read of a program that reports readiness by a line. */
#define LONGEST_LINE 4096
#define LONGEST_NOTICE 4096
/* Messages that are read at once, and the pause after them: a program may send them all the time. */
#define MOST_NOTICES 16
#define PAUSE_MS 20
/* A socket is closed once its messages have made the shim wait so often. */
#define MOST_WAITS 3

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static void close_source(struct source *source) {
  if (source->fd < 0) return;
  forget_source(source);
  close_socket(source->fd);
  source->fd = -1;
}

static void close_notice(struct run *run) {
  close_source(&run->notice);
  if (run->notify_path != NULL) unlink(run->notify_path);
  free(run->notify_path);
  run->notify_path = NULL;
}

void close_readiness(struct run *run) {
  close_source(&run->line);
  close_notice(run);
}

static void become_ready(struct run *run) {
  run->ready = true;
  mark_changed(&run->object);
}

static void read_line(struct run *run) {
  char text[LONGEST_LINE];
  while (run->line.fd >= 0) {
    ssize_t got = read(run->line.fd, text, run->line_left);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    bool is_line = got > 0 && memchr(text, '\n', (size_t)got) != NULL;
    if (got > 0) run->line_left -= (size_t)got;
    if (is_line) become_ready(run);
    if (got <= 0 || is_line || run->line_left == 0) close_source(&run->line);
  }
}

/* Whether a line of the message is READY=1. */
static bool says_ready(const char *text, size_t length) {
  static const char wanted[] = "READY=1";
  const size_t size = sizeof wanted - 1;
  for (size_t at = 0; at + size <= length;) {
    bool ends = at + size == length || text[at + size] == '\n';
    if (ends && memcmp(text + at, wanted, size) == 0) return true;
    const char *next = memchr(text + at, '\n', length - at);
    if (next == NULL) return false;
    at = (size_t)(next - text) + 1;
  }
  return false;
}

static void read_notices(struct run *run) {
  char text[LONGEST_NOTICE];
  ssize_t got = 0;
  bool waited = false;
  /* At most one wait: many programs may send such messages. */
  for (int left = MOST_NOTICES; left > 0 && got >= 0 && !run->ready && !waited; left--) {
    begin_closes();
    got = recv(run->notice.fd, text, sizeof text, MSG_DONTWAIT);
    waited = end_closes();
    if (got >= 0 && says_ready(text, (size_t)got)) become_ready(run);
  }
  if (run->ready || (waited && ++run->waits == MOST_WAITS)) close_notice(run);
  else if (got >= 0 || waited) pause_source(&run->notice, PAUSE_MS);
}

void read_readiness(struct run *run) {
  read_line(run);
  if (run->notice.fd >= 0) read_notices(run);
}

static void line_came(struct source *source, uint32_t events) {
  (void)events;
  read_line((struct run *)((char *)source - offsetof(struct run, line)));
}

static void notice_came(struct source *source, uint32_t events) {
  (void)events;
  read_notices((struct run *)((char *)source - offsetof(struct run, notice)));
}

static int open_line(struct run *run, int *line) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  *line = ends[1];
  run->line.fd = within_reserve(ends[0]);
  if (run->line.fd < 0) return -1;
  fcntl(run->line.fd, F_SETFL, O_RDONLY | O_NONBLOCK);
  run->line.ready = line_came;
  run->line_left = LONGEST_LINE;
  return watch_source(&run->line, EPOLLIN);
}

/* Only the account of the run can send to the socket. */
static int open_notice(struct run *run, const struct plan *plan) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(plan->notify) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, plan->notify);
  if (unlink(plan->notify) < 0 && errno != ENOENT) return -1;
  run->notice.fd = within_reserve(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (run->notice.fd < 0) return -1;
  /* Refuses descriptors; Linux before 6.16 cannot. */
  setsockopt(run->notice.fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){0}, sizeof(int));
  if (bind(run->notice.fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  run->notify_path = strdup(plan->notify);
  if (run->notify_path == NULL) return -1;
  if (chmod(plan->notify, 0600) < 0) return -1;
  if (plan->becomes && chown(plan->notify, plan->uid, (gid_t)-1) < 0) return -1;
  run->notice.ready = notice_came;
  return watch_source(&run->notice, EPOLLIN);
}

int open_readiness(struct run *run, const struct plan *plan, int *line) {
  if (plan->ready_fd >= 0 && open_line(run, line) < 0) return -1;
  return plan->notify == NULL ? 0 : open_notice(run, plan);
}
