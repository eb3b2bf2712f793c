#define _GNU_SOURCE
#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>

#define MOST_AT_ONCE 64

static int epoll = -1;
static struct source *paused;
static struct epoll_event batch[MOST_AT_ONCE];
static int batch_left;

int begin_loop(void) {
  epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll < 0 ? -1 : 0;
}

uint64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

int watch_source(struct source *source, uint32_t events) {
  source->events = events;
  if (source->paused) return 0;
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll, source->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, source->fd, &event) < 0) return -1;
  source->added = true;
  return 0;
}

static void remove_source(struct source *source) {
  if (!source->added) return;
  epoll_ctl(epoll, EPOLL_CTL_DEL, source->fd, NULL);
  source->added = false;
  /* It must not be called for an event that was fetched before. */
  for (int index = 0; index < batch_left; index++)
    if (batch[index].data.ptr == source) batch[index].data.ptr = NULL;
}

void forget_source(struct source *source) {
  remove_source(source);
  if (!source->paused) return;
  struct source **place = &paused;
  while (*place != source) place = &(*place)->next_paused;
  *place = source->next_paused;
  source->paused = false;
}

void pause_source(struct source *source, unsigned ms) {
  forget_source(source);
  source->paused = true;
  source->until = now_ms() + ms;
  source->next_paused = paused;
  paused = source;
}

/* Ends pauses that are over; the time until the next one ends, -1 for none. */
static int end_pauses(void) {
  int shortest = -1;
  if (paused == NULL) return shortest;
  uint64_t time = now_ms();
  for (struct source **place = &paused; *place != NULL;) {
    struct source *each = *place;
    if (each->until <= time) {
      *place = each->next_paused;
      each->paused = false;
      if (watch_source(each, each->events) == 0) continue;
      /* No memory: later. */
      pause_source(each, 100);
      place = &paused;
      continue;
    }
    int left = (int)(each->until - time);
    if (shortest < 0 || left < shortest) shortest = left;
    place = &each->next_paused;
  }
  return shortest;
}

int wait_once(void) {
  int count = epoll_wait(epoll, batch, MOST_AT_ONCE, end_pauses());
  if (count < 0) return errno == EINTR ? 0 : -1;
  batch_left = count;
  for (int index = 0; index < count; index++) {
    struct source *source = batch[index].data.ptr;
    if (source != NULL) source->ready(source, batch[index].events);
  }
  batch_left = 0;
  return 0;
}
