#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reserve.h"

/* Bytes that wait for a container that does not read: its limits may stop its shim. */
#define MOST_WAITING (2 * (FRAME_HEAD + LARGEST_FRAME))
/* A frame of a container beside the name and the heads of the fields. */
#define BESIDE (LONGEST_NAME + 64)

/* Those with a whole frame, in the order in which it came. */
static struct container *first_full, **last_full = &first_full;

static int watch(struct container *container) {
  uint32_t events = (container->full ? 0u : EPOLLIN) | (container->length > 0 ? EPOLLOUT : 0u);
  if (events != 0) return watch_source(&container->source, events);
  forget_source(&container->source);
  return 0;
}

static void add_full(struct container *container) {
  container->full = true;
  container->next_full = NULL;
  *last_full = container;
  last_full = &container->next_full;
}

static void remove_full(struct container *container) {
  struct container **place = &first_full;
  while (*place != container) place = &(*place)->next_full;
  *place = container->next_full;
  if (*place == NULL) last_full = place;
  container->full = false;
}

/* Its shim has ended, or does not speak the protocol. */
static void lose(struct container *container) {
  if (container->gone) return;
  forget_source(&container->source);
  close(container->source.fd);
  container->gone = true;
  container->length = 0;
  mark_changed(&container->object);
}

/* Sends what waits. What is sent to one that has ended is lost; reading finds its end. */
static void flush(struct container *container) {
  size_t sent = 0;
  while (sent < container->length) {
    const uint8_t *rest = container->output + sent;
    ssize_t count = send(container->source.fd, rest, container->length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    sent = count < 0 ? container->length : sent + (size_t)count;
  }
  container->length -= sent;
  if (container->length > 0) {
    memmove(container->output, container->output + sent, container->length);
    return;
  }
  free(container->output);
  container->output = NULL;
}

/* Receives the rest of one frame, and nothing of the next. false at the end, or where it is too long. */
static bool receive(struct container *container) {
  while (!container->full) {
    bool has_head = container->received >= FRAME_HEAD;
    size_t length = has_head ? length_at(container->input) : 0;
    if (length > LARGEST_FORWARDED) return false;
    size_t wanted = FRAME_HEAD + length;
    if (has_head && container->received == wanted) {
      add_full(container);
      return true;
    }
    uint8_t *wider = realloc(container->input, wanted);
    if (wider == NULL) return false;
    container->input = wider;
    ssize_t got = recv(container->source.fd, wider + container->received, wanted - container->received, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    container->received += (size_t)got;
  }
  return true;
}

static void container_ready(struct source *source, uint32_t ready) {
  struct container *container = (struct container *)((char *)source - offsetof(struct container, source));
  if (ready & EPOLLOUT) flush(container);
  bool is_fine = !(ready & ~(uint32_t)EPOLLOUT) || receive(container);
  if (!is_fine || watch(container) < 0) lose(container);
}

struct container *admit_container(struct text name, struct held *socket) {
  struct container *container = add_object(OBJECT_CONTAINER, name, sizeof *container);
  if (container == NULL) return NULL;
  /* Without a client it would wait, and a program could have changed the flags of the socket. */
  int fd = -1;
  if (is_queued(socket)) fd = within_reserve(accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
  else errno = EAGAIN;
  struct ucred peer;
  socklen_t length = sizeof peer;
  container->source = (struct source){.fd = fd, .ready = container_ready};
  bool done = fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && watch(container) == 0;
  if (!done) {
    int error = errno;
    if (fd >= 0) close(fd);
    remove_object(&container->object);
    errno = error;
    return NULL;
  }
  container->uid = peer.uid;
  container->pid = peer.pid;
  return container;
}

int give_held(struct container *container, struct held *held) {
  if (container->gone || container->length > 0) {
    errno = container->gone ? ENOTCONN : EBUSY;
    return -1;
  }
  int fd = held->fd;
  if (held->object.kind == OBJECT_FIFO) {
    /* Another open file description: its flags are the container's. */
    fd = reopen_held(held, O_RDWR);
    if (fd < 0) return -1;
  } else {
    held->shared = true;
  }
  uint8_t bytes[FRAME_HEAD + BESIDE];
  struct writer writer = {.bytes = bytes, .capacity = sizeof bytes};
  size_t begin = begin_frame(&writer, KIND_TAKE);
  put_number(&writer, TAG_OBJECT, held->object.kind);
  put_text(&writer, TAG_NAME, held->object.name);
  end_frame(&writer, begin);
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
  } control = {.bytes = {0}};
  struct iovec part = {.iov_base = bytes, .iov_len = writer.length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
  ssize_t sent = sendmsg(container->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  int error = sent < 0 ? errno : EMSGSIZE;
  if (fd != held->fd) close(fd);
  if (sent == (ssize_t)writer.length) return 0;
  errno = error;
  return -1;
}

int forward_to(struct container *container, struct text frame) {
  size_t more = FRAME_HEAD + frame.length;
  if (container->gone || container->length + more > MOST_WAITING) {
    errno = container->gone ? ENOTCONN : ENOBUFS;
    return -1;
  }
  uint8_t *longer = realloc(container->output, container->length + more);
  if (longer == NULL) return -1;
  container->output = longer;
  for (int index = 0; index < FRAME_HEAD; index++)
    longer[container->length + (size_t)index] = (uint8_t)(frame.length >> (8 * index));
  memcpy(longer + container->length + FRAME_HEAD, frame.bytes, frame.length);
  container->length += more;
  flush(container);
  if (watch(container) < 0) lose(container);
  return 0;
}

void put_forwarded(struct writer *writer) {
  struct container *container;
  while ((container = first_full) != NULL) {
    size_t length = container->received - FRAME_HEAD;
    if (writer->capacity - writer->length < length + BESIDE) return;
    remove_full(container);
    size_t begin = begin_frame(writer, KIND_FORWARDED);
    put_text(writer, TAG_NAME, container->object.name);
    put_bytes(writer, TAG_BYTES, container->input + FRAME_HEAD, length);
    end_frame(writer, begin);
    container->received = 0;
    if (!container->gone && watch(container) < 0) lose(container);
  }
}

void close_container(struct container *container) {
  if (container->full) remove_full(container);
  if (!container->gone) {
    forget_source(&container->source);
    close(container->source.fd);
  }
  free(container->input);
  free(container->output);
  remove_object(&container->object);
}
