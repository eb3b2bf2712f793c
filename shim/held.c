#define _GNU_SOURCE
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "linger.h"
#include "reserve.h"

#define LONGEST_PATH 4095

static int failed(int fd, const char *path) {
  int error = errno;
  if (fd >= 0) close(fd);
  if (path != NULL) unlink(path);
  errno = error;
  return -1;
}

/* Listens at a path for the group. The socket appears there in one step, so that a client always finds one. */
static int open_socket(const char *path, const struct making *making, struct stat *found) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(address.sun_path, sizeof address.sun_path, "%s~", path);
  if (length < 0 || (size_t)length >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const char *draft = address.sun_path;
  if (unlink(draft) < 0 && errno != ENOENT) return -1;
  int fd = within_reserve(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return -1;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return failed(fd, NULL);
  /* Before it listens nobody can connect, whatever the mode. */
  bool done = chmod(draft, making->mode) == 0 && chown(draft, making->uid, making->gid) == 0 &&
              listen(fd, making->backlog) == 0 && lstat(draft, found) == 0 && rename(draft, path) == 0;
  return done ? fd : failed(fd, draft);
}

static int open_fifo(const char *path, const struct making *making, struct stat *found) {
  if (lstat(path, found) == 0 && !S_ISFIFO(found->st_mode) && unlink(path) < 0) return -1;
  bool is_new = mkfifo(path, 0600) == 0;
  if (!is_new && errno != EEXIST) return -1;
  int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (making->nonblock ? O_NONBLOCK : 0);
  int fd = within_reserve(open(path, flags));
  if (fd < 0) return -1;
  /* The mode first: a root without CAP_FOWNER cannot change it afterwards. */
  bool done = (!is_new || fchmod(fd, making->mode) == 0) && fstat(fd, found) == 0 && S_ISFIFO(found->st_mode) &&
              (found->st_uid == making->uid || fchown(fd, making->uid, making->gid) == 0);
  return done ? fd : failed(fd, NULL);
}

static void client_came(struct source *source, uint32_t events) {
  (void)events;
  struct held *socket = (struct held *)((char *)source - offsetof(struct held, source));
  forget_source(source);
  socket->client = true;
  mark_changed(&socket->object);
}

/* Whether the path names the file of it: the supervisor may reach the directory by another name now. */
static bool is_at(const struct held *held, const char *path) {
  struct stat found;
  if (strcmp(held->path, path) == 0) return true;
  return lstat(path, &found) == 0 && found.st_dev == held->device && found.st_ino == held->inode;
}

typedef int opening(const char *path, const struct making *making, struct stat *found);

static struct held *make(enum object_kind kind, opening *open_it, const struct making *making, bool *is_new) {
  *is_new = false;
  char path[LONGEST_PATH + 1];
  if (!is_text(making->path, 1, LONGEST_PATH) || making->path.bytes[0] != '/') {
    errno = EINVAL;
    return NULL;
  }
  memcpy(path, making->path.bytes, making->path.length);
  path[making->path.length] = 0;
  struct held *held = find_object(kind, making->name);
  if (held != NULL && !is_at(held, path)) {
    errno = EEXIST;
    return NULL;
  }
  if (held != NULL && !making->replace) {
    if (kind == OBJECT_SOCKET && listen(held->fd, making->backlog) < 0) return NULL;
    return held;
  }
  bool added = held == NULL;
  if (added) {
    held = add_object(kind, making->name, sizeof *held);
    if (held == NULL) return NULL;
    held->path = strdup(path);
    held->fd = -1;
  }
  struct stat found;
  int fd = held->path == NULL ? -1 : open_it(path, making, &found);
  if (fd < 0) {
    int error = errno;
    if (added) {
      free(held->path);
      remove_object(&held->object);
    }
    errno = error;
    return NULL;
  }
  unwatch_client(held);
  if (held->fd >= 0) close_socket(held->fd);
  held->fd = fd;
  held->source.ready = client_came;
  held->device = found.st_dev;
  held->inode = found.st_ino;
  held->nonblock = making->nonblock;
  held->shared = false;
  *is_new = true;
  return held;
}

struct held *listen_at(const struct making *making, bool *is_new) {
  return make(OBJECT_SOCKET, open_socket, making, is_new);
}

struct held *hold_fifo(const struct making *making, bool *is_new) {
  return make(OBJECT_FIFO, open_fifo, making, is_new);
}

struct held *take_held(enum object_kind kind, struct text name, int fd) {
  struct held *held = add_object(kind, name, sizeof *held);
  if (held == NULL) return NULL;
  held->path = strdup("");
  if (held->path == NULL) {
    remove_object(&held->object);
    errno = ENOMEM;
    return NULL;
  }
  held->fd = fd;
  held->source.ready = client_came;
  return held;
}

int reopen_held(const struct held *held, int flags) {
  char path[64];
  /* Not by its path, where another file may be by now. */
  snprintf(path, sizeof path, "/proc/self/fd/%d", held->fd);
  return within_reserve(open(path, flags | O_CLOEXEC));
}

int watch_client(struct held *socket, uint64_t number) {
  unwatch_client(socket);
  socket->source.fd = socket->fd;
  if (watch_source(&socket->source, EPOLLIN) < 0) return -1;
  socket->watching = true;
  socket->watch = number;
  return 0;
}

void unwatch_client(struct held *socket) {
  forget_source(&socket->source);
  unmark_changed(&socket->object);
  socket->watching = socket->client = false;
}

uint64_t socket_inode(const struct held *socket) {
  struct stat found;
  return fstat(socket->fd, &found) == 0 ? found.st_ino : 0;
}

static bool has_event(const struct held *socket, short event) {
  struct pollfd look = {.fd = socket->fd, .events = event};
  return poll(&look, 1, 0) == 1 && (look.revents & event) != 0;
}

bool is_shut(const struct held *socket) {
  return has_event(socket, POLLRDHUP);
}

bool is_queued(const struct held *socket) {
  return has_event(socket, POLLIN);
}

int close_held(struct held *held) {
  struct stat found;
  int error = 0;
  unwatch_client(held);
  if (lstat(held->path, &found) < 0) error = errno == ENOENT || errno == ENOTDIR ? 0 : errno;
  else if (found.st_dev == held->device && found.st_ino == held->inode && unlink(held->path) < 0) error = errno;
  close_socket(held->fd);
  free(held->path);
  remove_object(&held->object);
  return error;
}
