#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stage.h"

/* How often a full cgroup is looked at, and the time between two looks: processes that have ended count until they are reaped. */
#define LOOKS 50
#define BETWEEN_LOOKS_NS 10000000

long read_number(const char *directory, const char *file, long otherwise) {
  char path[4128], text[32];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return otherwise;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length < 0 ? 0 : length] = 0;
  char *end;
  long number = strtol(text, &end, 10);
  return end == text ? otherwise : number;
}

/* Whether the cgroup or one above it has more processes than it may. */
static bool is_exceeded(const char *cgroup) {
  char directory[4096];
  snprintf(directory, sizeof directory, "%s", cgroup);
  for (char *end = directory + strlen(directory); end != NULL && end > directory; end = strrchr(directory, '/')) {
    *end = 0;
    if (read_number(directory, "pids.current", 0) > read_number(directory, "pids.max", LONG_MAX)) return true;
  }
  return false;
}

void join_cgroup(const char *cgroup) {
  char path[4128];
  snprintf(path, sizeof path, "%s/cgroup.procs", cgroup);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) != 1) fail("joining cgroup", "", NULL, errno);
  close(fd);
  /* The kernel checks pids.max when a process is created, and the shim has created this one in its own cgroup. */
  for (int left = LOOKS; is_exceeded(cgroup); left--) {
    if (left == 0) fail("starting within its process limits", "", NULL, EAGAIN);
    nanosleep(&(struct timespec){.tv_nsec = BETWEEN_LOOKS_NS}, NULL);
  }
}
