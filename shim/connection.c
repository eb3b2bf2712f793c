#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "events.h"
#include "inside.h"
#include "loop.h"
#include "request.h"

#define MOST_CONNECTIONS 16
#define BACKLOG 16
/* Until a failed accept(2) is tried again. */
#define PAUSE_MS 100
#define FIRST_CAPACITY 4096
/* A frame with its length. */
#define LARGEST_INPUT (FRAME_HEAD + LARGEST_FRAME)

struct connection {
  struct source source;
  struct session session;
  uint8_t *input;
  size_t capacity, received;
  struct writer output;
  size_t sent;
};

static struct connection *connections[MOST_CONNECTIONS];
static struct connection *events;
static struct source listener;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static bool end_requested;

static void close_connection(struct connection *connection) {
  for (size_t index = 0; index < MOST_CONNECTIONS; index++)
    if (connections[index] == connection) connections[index] = NULL;
  if (events == connection) events = NULL;
  if (is_inside) end_requested = true;
  forget_source(&connection->source);
  close(connection->source.fd);
  free(connection->input);
  free(connection->output.bytes);
  free(connection);
  if (listener.paused) {
    forget_source(&listener);
    watch_source(&listener, EPOLLIN);
  }
}

/* Sends what is left of the output. false where the connection has failed. */
static bool flush(struct connection *connection) {
  struct writer *output = &connection->output;
  while (connection->sent < output->length) {
    size_t left = output->length - connection->sent;
    ssize_t sent = send(connection->source.fd, output->bytes + connection->sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN;
    connection->sent += (size_t)sent;
  }
  output->length = connection->sent = 0;
  output->full = false;
  return true;
}

static void get_events(struct connection *connection) {
  /* The newest supervisor counts: an older one has ended, or is about to. */
  if (events != NULL && events != connection) close_connection(events);
  events = connection;
  begin_events();
}

/* Performs the requests that have arrived, while the client reads the replies. false where it breaks the protocol. */
static bool perform_requests(struct connection *connection) {
  size_t at = 0;
  while (connection->output.length == 0 && connection->received - at >= FRAME_HEAD) {
    size_t length = length_at(connection->input + at);
    if (length > LARGEST_FRAME || (connection->session.events && !is_inside)) return false;
    if (connection->received - at - FRAME_HEAD < length) break;
    size_t at_kind = at + FRAME_HEAD;
    answer(&connection->session, connection->input + at_kind, length, &connection->output);
    at += FRAME_HEAD + length;
    /* What a client that has ended had sent still counts. */
    if (!flush(connection)) connection->output.length = connection->sent = 0;
    if (connection->session.ends) end_requested = true;
    if (connection->session.events && length > 0 && connection->input[at_kind] == KIND_HELLO) get_events(connection);
  }
  memmove(connection->input, connection->input + at, connection->received - at);
  connection->received -= at;
  return true;
}

/* Makes room for the frame that is arriving. */
static bool make_room(struct connection *connection) {
  size_t wanted = FIRST_CAPACITY;
  if (connection->received >= FRAME_HEAD) {
    size_t length = FRAME_HEAD + (size_t)length_at(connection->input);
    if (length > LARGEST_INPUT) return false;
    if (length > wanted) wanted = length;
  }
  if (wanted <= connection->capacity) return true;
  uint8_t *wider = realloc(connection->input, wanted);
  if (wider == NULL) return false;
  connection->input = wider;
  connection->capacity = wanted;
  return true;
}

static bool receive(struct connection *connection) {
  if (!make_room(connection)) return false;
  size_t room = connection->capacity - connection->received;
  uint8_t *place = connection->input + connection->received;
  int fd = connection->source.fd;
  ssize_t got = is_inside ? receive_with(fd, place, room, &connection->session.descriptor) : recv(fd, place, room, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  connection->received += (size_t)got;
  return got > 0;
}

static void connection_ready(struct source *source, uint32_t ready) {
  struct connection *connection = (struct connection *)((char *)source - offsetof(struct connection, source));
  bool is_fine = true;
  if (ready & EPOLLOUT) is_fine = flush(connection);
  else if (ready & EPOLLIN) is_fine = receive(connection);
  else is_fine = false;
  if (is_fine) is_fine = perform_requests(connection);
  /* No further request is read before the client has read the reply. */
  uint32_t wanted = connection->output.length > 0 ? EPOLLOUT : EPOLLIN;
  if (is_fine && wanted != source->events) is_fine = watch_source(source, wanted) == 0;
  if (!is_fine) close_connection(connection);
}

void send_events(void) {
  /* Until nothing is left to send, or the client does not read. */
  while (events != NULL && events->output.length == 0) {
    put_events(&events->output);
    if (events->output.length == 0) return;
    bool is_fine = flush(events);
    if (is_fine && events->output.length > 0) is_fine = watch_source(&events->source, EPOLLIN | EPOLLOUT) == 0;
    if (!is_fine) close_connection(events);
  }
}

/* Whether the process at the other end has our uid, by the kernel's word. */
static bool is_same_user(int fd) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
}

static bool add_connection(int fd, struct connection **place) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) return false;
  connection->source = (struct source){.fd = fd, .ready = connection_ready};
  connection->session.descriptor = -1;
  connection->output.bytes = malloc(LARGEST_REPLY);
  connection->output.capacity = LARGEST_REPLY;
  if (connection->output.bytes == NULL || watch_source(&connection->source, EPOLLIN) < 0) {
    free(connection->output.bytes);
    free(connection);
    return false;
  }
  *place = connection;
  return true;
}

static void accept_connection(struct source *source, uint32_t ready) {
  (void)ready;
  size_t index = 0;
  while (index < MOST_CONNECTIONS && connections[index] != NULL) index++;
  int fd = index == MOST_CONNECTIONS ? -1 : accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    /* None is free, or the machine has no descriptor: the client waits. */
    pause_source(source, PAUSE_MS);
    return;
  }
  if (!is_same_user(fd) || !add_connection(fd, &connections[index])) close(fd);
}

/* Only one shim can have a path, until its process ends. */
static int lock_path(const char *path) {
  char name[sizeof address.sun_path + 8];
  snprintf(name, sizeof name, "%s.lock", path);
  int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
  errno = EADDRINUSE;
  return -1;
}

int begin_connections(const char *path) {
  struct sockaddr_un draft = {.sun_family = AF_UNIX};
  if (strlen(path) + 1 >= sizeof draft.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  snprintf(draft.sun_path, sizeof draft.sun_path, "%.*s~", (int)(sizeof draft.sun_path - 2), path);
  if (lock_path(path) < 0 || (unlink(draft.sun_path) < 0 && errno != ENOENT)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&draft, sizeof draft) < 0) return -1;
  if (chmod(draft.sun_path, 0600) < 0 || listen(fd, BACKLOG) < 0) return -1;
  if (rename(draft.sun_path, path) < 0) return -1;
  listener = (struct source){.fd = fd, .ready = accept_connection};
  return watch_source(&listener, EPOLLIN);
}

int join(const char *path, const char *token) {
  uint8_t bytes[FIRST_CAPACITY];
  struct writer writer = {.bytes = bytes, .capacity = sizeof bytes};
  int fd = connect_outside(path, token, &writer);
  if (fd < 0) return -1;
  fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  if (!add_connection(fd, &connections[0])) return -1;
  memcpy(connections[0]->output.bytes, bytes, writer.length);
  connections[0]->output.length = writer.length;
  return flush(connections[0]) ? 0 : -1;
}

bool is_connected(void) {
  for (size_t index = 0; index < MOST_CONNECTIONS; index++)
    if (connections[index] != NULL) return true;
  return false;
}

bool is_end_requested(void) {
  return end_requested;
}

void end_connections(void) {
  unlink(address.sun_path);
}
