#define _GNU_SOURCE
#include "linger.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#define LONGEST_US 10000

static volatile sig_atomic_t is_over;

static void end_wait(int signal) {
  (void)signal;
  is_over = 1;
}

static void set_timer(suseconds_t each) {
  struct itimerval timer = {.it_interval = {0, each}, .it_value = {0, each}};
  setitimer(ITIMER_REAL, &timer, NULL);
}

void catch_alarms(void) {
  struct sigaction action = {.sa_handler = end_wait};
  sigaction(SIGALRM, &action, NULL);
}

void begin_closes(void) {
  is_over = 0;
  set_timer(LONGEST_US);
}

bool end_closes(void) {
  set_timer(0);
  return is_over != 0;
}

void close_socket(int fd) {
  begin_closes();
  close(fd);
  end_closes();
}
