/* Waits for descriptors with one epoll(7). */
#ifndef SHIM_LOOP_H
#define SHIM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A descriptor that is waited for. Belongs to its user; zeroed before the first use. */
struct source {
  int fd;
  /* EPOLLIN, EPOLLOUT or both. */
  uint32_t events;
  void (*ready)(struct source *source, uint32_t events);
  bool added, paused;
  /* Ms of the monotonic clock at which a pause ends. */
  uint64_t until;
  struct source *next_paused;
};

/* -1 with errno. */
int begin_loop(void);

/* Milliseconds of the monotonic clock. */
uint64_t now_ms(void);

/* Waits for events of a descriptor, or for others than before. -1 with errno. */
int watch_source(struct source *source, uint32_t events);

/* Stops waiting. Does nothing for a source that is not waited for. */
void forget_source(struct source *source);

/* Stops waiting for some time. */
void pause_source(struct source *source, unsigned ms);

/* Waits once, and calls `ready` of the sources that are. -1 with errno. */
int wait_once(void);

#endif
