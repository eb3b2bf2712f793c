#define _GNU_SOURCE
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "events.h"
#include "inside.h"
#include "test.h"

static char directory[64], place[128];
static struct held *meeting;
static int client = -1;
static struct container *container;

static struct text text(const char *value) {
  return (struct text){(const uint8_t *)value, strlen(value)};
}

static struct held *hold(struct held *making(const struct making *, bool *), const char *name) {
  bool is_new;
  snprintf(place, sizeof place, "%s/%s", directory, name);
  struct making how = {.name = text(name), .path = text(place), .uid = getuid(), .gid = getgid(), .mode = 0600, .backlog = 4};
  return making(&how, &is_new);
}

/* A container has connected, and is admitted. */
static void begin(void) {
  strcpy(directory, "/tmp/shim-test-XXXXXX");
  CHECK(mkdtemp(directory) != NULL && begin_loop() == 0);
  meeting = hold(listen_at, "meet");
  CHECK(meeting != NULL && admit_container(text("web"), meeting) == NULL && errno == EAGAIN);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, place);
  client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
  container = admit_container(text("web"), meeting);
  CHECK(container != NULL && container->uid == getuid() && container->pid == getpid());
}

static void end(void) {
  close_container(container);
  if (client >= 0) close(client);
  CHECK(close_held(meeting) == 0 && rmdir(directory) == 0);
  CHECK(next_object(0) == NULL && first_changed() == NULL);
}

/* Puts the events; returns the number of frames of this kind among them. */
static int events_of(enum kind kind, struct writer *events) {
  static uint8_t bytes[128 * 1024];
  *events = (struct writer){.bytes = bytes, .capacity = sizeof bytes};
  put_events(events);
  CHECK(!events->full);
  int count = 0;
  for (size_t at = 0; at < events->length; at += FRAME_HEAD + length_at(bytes + at)) count += bytes[at + FRAME_HEAD] == kind;
  return count;
}

static void descriptors_are_given(void) {
  begin();
  struct held *fifo = hold(hold_fifo, "log");
  struct held *socket = hold(listen_at, "site");
  CHECK(fifo != NULL && socket != NULL && give_held(container, fifo) == 0 && give_held(container, socket) == 0);
  uint8_t bytes[512];
  int got = -1;
  ssize_t length = receive_with(client, bytes, sizeof bytes, &got);
  CHECK(length > FRAME_HEAD && bytes[FRAME_HEAD] == KIND_TAKE && length_at(bytes) == (size_t)length - FRAME_HEAD);
  struct stat one, other;
  CHECK(fstat(got, &one) == 0 && fstat(fifo->fd, &other) == 0 && one.st_ino == other.st_ino);
  /* The flags of the container's do not change ours. */
  CHECK(fcntl(got, F_SETFL, O_NONBLOCK) == 0 && (fcntl(fifo->fd, F_GETFL) & O_NONBLOCK) == 0);
  CHECK(receive_with(client, bytes, sizeof bytes, &got) > FRAME_HEAD);
  CHECK(fstat(got, &one) == 0 && fstat(socket->fd, &other) == 0 && one.st_ino == other.st_ino && socket->shared);
  close(got);
  CHECK(close_held(fifo) == 0 && close_held(socket) == 0);
  end();
}

static void frames_are_forwarded(void) {
  begin();
  uint8_t bytes[64];
  CHECK(forward_to(container, text("hello")) == 0);
  CHECK(recv(client, bytes, sizeof bytes, 0) == FRAME_HEAD + 5 && length_at(bytes) == 5);
  struct writer events;
  CHECK(events_of(KIND_FORWARDED, &events) == 0);
  /* Two frames: the second is read when the first has been put. */
  CHECK(send(client, "\3\0\0\0abc\2\0\0\0de", 13, 0) == 13);
  CHECK(wait_once() == 0 && events_of(KIND_FORWARDED, &events) == 1 && memmem(events.bytes, events.length, "abc", 3) != NULL);
  CHECK(wait_once() == 0 && events_of(KIND_FORWARDED, &events) == 1 && memmem(events.bytes, events.length, "de", 2) != NULL);
  end();
}

static void its_end_comes_after_its_frames(void) {
  begin();
  CHECK(send(client, "\3\0\0\0abc", 7, 0) == 7);
  close(client);
  client = -1;
  struct writer events;
  CHECK(wait_once() == 0 && events_of(KIND_EVENT_CONTAINER, &events) == 0 && memmem(events.bytes, events.length, "abc", 3) != NULL);
  CHECK(wait_once() == 0 && events_of(KIND_EVENT_CONTAINER, &events) == 1 && container->gone);
  CHECK(forward_to(container, text("x")) < 0 && errno == ENOTCONN);
  end();
}

static void a_long_frame_ends_it(void) {
  begin();
  CHECK(send(client, "\1\0\1\0", 4, 0) == 4 && wait_once() == 0 && container->gone);
  struct writer events;
  CHECK(events_of(KIND_EVENT_CONTAINER, &events) == 1);
  end();
}

static void what_it_does_not_read_is_bounded(void) {
  static uint8_t frame[LARGEST_FRAME];
  begin();
  int sent = 0;
  while (sent < 100 && forward_to(container, (struct text){frame, sizeof frame}) == 0) sent++;
  CHECK(sent < 100 && errno == ENOBUFS && !container->gone);
  struct held *fifo = hold(hold_fifo, "log");
  CHECK(give_held(container, fifo) < 0 && errno == EBUSY && close_held(fifo) == 0);
  /* All of it arrives. */
  static uint8_t bytes[65536];
  size_t left = (size_t)sent * (FRAME_HEAD + sizeof frame);
  while (left > 0) {
    ssize_t got = recv(client, bytes, sizeof bytes, MSG_DONTWAIT);
    CHECK(got > 0 || wait_once() == 0);
    if (got > 0) left -= (size_t)got;
  }
  CHECK(container->length == 0 && container->output == NULL);
  end();
}

const struct test container_tests[] = {
    {"A container gets held sockets and a separate description of a FIFO", descriptors_are_given},
    {"Frames are forwarded in both directions, one after another", frames_are_forwarded},
    {"The end of a container is reported after its last frame", its_end_comes_after_its_frames},
    {"A frame that is too long ends the connection", a_long_frame_ends_it},
    {"What a container does not read is bounded, and not lost", what_it_does_not_read_is_bounded},
    {NULL, NULL},
};
