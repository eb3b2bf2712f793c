#define _GNU_SOURCE
#include "loop.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "test.h"

static struct source one, two;
static int calls;

static void forget_both(struct source *source, uint32_t events) {
  (void)source;
  (void)events;
  calls++;
  forget_source(&one);
  forget_source(&two);
}

static void count(struct source *source, uint32_t events) {
  (void)events;
  calls++;
  forget_source(source);
}

/* A pipe with a byte in it. */
static void open_readable(struct source *source, int ends[2], void (*ready)(struct source *, uint32_t)) {
  CHECK(pipe2(ends, O_CLOEXEC) == 0 && write(ends[1], "x", 1) == 1);
  *source = (struct source){.fd = ends[0], .ready = ready};
  CHECK(watch_source(source, EPOLLIN) == 0);
}

static void close_both(int ends[2]) {
  close(ends[0]);
  close(ends[1]);
}

static void forgotten_is_not_called(void) {
  int first[2], second[2];
  calls = 0;
  CHECK(begin_loop() == 0);
  open_readable(&one, first, forget_both);
  open_readable(&two, second, forget_both);
  CHECK(wait_once() == 0);
  CHECK(calls == 1);
  close_both(first);
  close_both(second);
}

static void pause_ends(void) {
  int ends[2];
  calls = 0;
  CHECK(begin_loop() == 0);
  open_readable(&one, ends, count);
  pause_source(&one, 5);
  CHECK(one.paused && !one.added);
  for (int turns = 0; turns < 100 && calls == 0; turns++) CHECK(wait_once() == 0);
  CHECK(calls == 1 && !one.paused);
  close_both(ends);
}

const struct test loop_tests[] = {
    {"A source that is forgotten is not called for an event that was fetched before", forgotten_is_not_called},
    {"A paused source is called once its pause has ended", pause_ends},
    {NULL, NULL},
};
