#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "stage.h"

/* How often a full cgroup is looked at, and the time between two looks: processes that have ended count until they are reaped. */
#define LOOKS 50
#define BETWEEN_LOOKS_NS 10000000

/* What a cgroup has for its processes together (core/resource-limits.ts: the files of a run). */
static const char *const SETTINGS[] = {"memory.oom.group", "pids.max"};

static int open_file(const char *directory, const char *file, int flags) {
  char path[4128];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  return open(path, flags | O_CLOEXEC);
}

/* Reads the text of a short file of the kernel's. -1 with errno. */
static ssize_t read_text(const char *directory, const char *file, char *text, size_t size) {
  int fd = open_file(directory, file, O_RDONLY);
  if (fd < 0) return -1;
  ssize_t length = read(fd, text, size - 1);
  int error = errno;
  close(fd);
  errno = error;
  text[length < 0 ? 0 : length] = 0;
  return length;
}

long read_number(const char *directory, const char *file, long otherwise) {
  char text[32];
  if (read_text(directory, file, text, sizeof text) < 0) return otherwise;
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

bool is_populated(const char *cgroup) {
  char text[128];
  return read_text(cgroup, "cgroup.events", text, sizeof text) < 0 || strstr(text, "populated 0") == NULL;
}

/* A file that the kernel or the controllers of the cgroup do not have is passed over. */
static int copy_setting(const char *from, const char *to, const char *file) {
  char text[32];
  ssize_t length = read_text(from, file, text, sizeof text);
  if (length < 0) return errno == ENOENT ? 0 : -1;
  int fd = open_file(to, file, O_WRONLY);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, (size_t)length);
  int error = errno;
  close(fd);
  errno = error;
  return written == length ? 0 : -1;
}

int copy_cgroup(const char *from, const char *to) {
  if (mkdir(to, 0755) < 0) return -1;
  for (size_t index = 0; index < sizeof SETTINGS / sizeof *SETTINGS; index++) {
    if (copy_setting(from, to, SETTINGS[index]) == 0) continue;
    int error = errno;
    rmdir(to);
    errno = error;
    return -1;
  }
  return 0;
}

void join_cgroup(const char *cgroup) {
  int fd = open_file(cgroup, "cgroup.procs", O_WRONLY);
  if (fd < 0 || write(fd, "0", 1) != 1) fail("joining cgroup", "", NULL, errno);
  close(fd);
  /* The kernel checks pids.max when a process is created, and the shim has created this one in its own cgroup. */
  for (int left = LOOKS; is_exceeded(cgroup); left--) {
    if (left == 0) fail("starting within its process limits", "", NULL, EAGAIN);
    nanosleep(&(struct timespec){.tv_nsec = BETWEEN_LOOKS_NS}, NULL);
  }
}
