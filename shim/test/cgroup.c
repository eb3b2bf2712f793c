#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stage.h"
#include "test.h"

/* Ordinary files in the place of the kernel's: a directory and one in it. */
static char outer[64], inner[80];

static void put(const char *directory, const char *file, const char *text) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
  close(fd);
}

static void make_groups(void) {
  strcpy(outer, "/tmp/shim-cgroup-XXXXXX");
  CHECK(mkdtemp(outer) != NULL);
  snprintf(inner, sizeof inner, "%s/run", outer);
  CHECK(mkdir(inner, 0700) == 0);
  put(inner, "cgroup.procs", "");
}

static void remove_groups(void) {
  static const char *const files[] = {"cgroup.procs", "cgroup.events", "pids.current", "pids.max"};
  char path[128];
  for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
    snprintf(path, sizeof path, "%s/%s", inner, files[index]);
    unlink(path);
    snprintf(path, sizeof path, "%s/%s", outer, files[index]);
    unlink(path);
  }
  CHECK(rmdir(inner) == 0 && rmdir(outer) == 0);
}

/* What a process that joins reports as the failed stage; "" where it succeeds. */
static const char *failed_stage(void) {
  static char message[LONGEST_REPORT + 1];
  int ends[2], status;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    report_to(ends[1]);
    join_cgroup(inner);
    _exit(0);
  }
  close(ends[1]);
  ssize_t length = recv(ends[0], message, LONGEST_REPORT, 0);
  close(ends[0]);
  CHECK(waitpid(pid, &status, 0) == pid);
  if (length <= 0) {
    CHECK(status == 0);
    return "";
  }
  message[length] = 0;
  const char *reason = message + 1 + sizeof(int);
  return reason + strlen(reason) + 1;
}

static void full_is_refused(void) {
  make_groups();
  put(inner, "pids.max", "max\n");
  put(inner, "pids.current", "5\n");
  put(outer, "pids.max", "4\n");
  put(outer, "pids.current", "5\n");
  CHECK(strcmp(failed_stage(), "starting within its process limits") == 0);
  put(outer, "pids.max", "5\n");
  CHECK(strcmp(failed_stage(), "") == 0);
  put(inner, "pids.max", "4\n");
  CHECK(strcmp(failed_stage(), "starting within its process limits") == 0);
  remove_groups();
}

static void unlimited_is_joined(void) {
  char joined[2] = "";
  make_groups();
  CHECK(strcmp(failed_stage(), "") == 0);
  char path[128];
  snprintf(path, sizeof path, "%s/cgroup.procs", inner);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(read(fd, joined, 1) == 1 && strcmp(joined, "0") == 0);
  close(fd);
  remove_groups();
}

static bool exists(const char *path) {
  struct stat found;
  return stat(path, &found) == 0;
}

static void copies_have_the_settings_or_are_not_there(void) {
  char copy[80];
  make_groups();
  snprintf(copy, sizeof copy, "%s/next", outer);
  CHECK(copy_cgroup(inner, copy) == 0 && exists(copy));
  CHECK(copy_cgroup(inner, copy) < 0 && errno == EEXIST && rmdir(copy) == 0);
  /* The kernel would make the files of the copy. */
  put(inner, "pids.max", "12\n");
  CHECK(copy_cgroup(inner, copy) < 0 && errno == ENOENT && !exists(copy));
  remove_groups();
}

static void unknown_population_counts(void) {
  make_groups();
  CHECK(is_populated(inner));
  put(inner, "cgroup.events", "populated 1\nfrozen 0\n");
  CHECK(is_populated(inner));
  put(inner, "cgroup.events", "populated 0\nfrozen 0\n");
  CHECK(!is_populated(inner));
  remove_groups();
}

const struct test cgroup_tests[] = {
    {"A cgroup is copied with its settings or not at all", copies_have_the_settings_or_are_not_there},
    {"A cgroup that cannot be read counts as populated", unknown_population_counts},
    {"A process that joins a cgroup beyond its limit on processes, or one above it, fails", full_is_refused},
    {"A process joins a cgroup without a limit on processes", unlimited_is_joined},
    {NULL, NULL},
};
