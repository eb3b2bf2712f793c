#define _GNU_SOURCE
#include "stage.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Bytes of all variables together: the kernel takes no more (execve(2)). */
#define MOST_VARIABLE_BYTES (2 * 1024 * 1024)
/* A lock that is released within this time is not reported as a wait. */
#define SHORT_WAITS 20
#define SHORT_WAIT_NS 10000000

static int report_fd = -1;

void report_to(int fd) {
  report_fd = fd;
}

static void report(enum report what, int error, const char *reason, const char *doing, const char *subject) {
  char message[LONGEST_REPORT];
  message[0] = (char)what;
  memcpy(message + 1, &error, sizeof error);
  size_t begin = 1 + sizeof error;
  int length = snprintf(message + begin, sizeof message - begin, "%s%c%s%s", reason, 0, doing, subject);
  size_t used = begin + (length < 0 ? 0 : (size_t)length);
  send(report_fd, message, used < sizeof message ? used : sizeof message, MSG_NOSIGNAL);
}

noreturn void fail(const char *doing, const char *subject, const char *reason, int error) {
  char words[256];
  snprintf(words, sizeof words, "%s", strerror(error));
  if (isupper((unsigned char)words[0]) && islower((unsigned char)words[1])) words[0] = (char)tolower(words[0]);
  report(REPORT_FAILED, error, reason != NULL ? reason : words, doing, subject);
  _exit(LAUNCH_FAILED);
}

int move_away(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, TARGETS);
  if (copy >= 0) close(fd);
  return copy;
}

int take_lock(const char *path) {
  static const char doing[] = "locking ";
  struct stat found;
  if (stat(path, &found) == 0 && S_ISDIR(found.st_mode)) fail(doing, path, "is a directory", EISDIR);
  umask(077);
  int fd = open(path, O_RDWR | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0666);
  if (fd < 0) fail(doing, path, errno == ENOENT ? "directory nonexistent" : NULL, errno);
  fd = move_away(fd);
  if (fd < 0) fail(doing, path, NULL, errno);
  fcntl(fd, F_SETFL, O_RDWR);
  int result = flock(fd, LOCK_EX | LOCK_NB);
  for (int left = SHORT_WAITS; result < 0 && errno == EWOULDBLOCK && left > 0; left--) {
    nanosleep(&(struct timespec){.tv_nsec = SHORT_WAIT_NS}, NULL);
    result = flock(fd, LOCK_EX | LOCK_NB);
  }
  if (result < 0 && errno == EWOULDBLOCK) {
    char reason[LONGEST_REPORT];
    snprintf(reason, sizeof reason, "waits for the lock %s", path);
    report(REPORT_WAITING, 0, reason, "", "");
    do result = flock(fd, LOCK_EX);
    while (result < 0 && errno == EINTR);
    report(REPORT_CONTINUES, 0, "", "", "");
  }
  if (result < 0) fail(doing, path, "cannot be locked", errno);
  return fd;
}

static noreturn void become_reader(const struct plan *plan, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (dup2(output, STDOUT_FILENO) >= 0 && dup2(output, 3) >= 0)
    execve(plan->reader_words[0], (char *const *)plan->reader_words, (char *const *)plan->reader_variables);
  _exit(LAUNCH_FAILED);
}

/* Everything that a descriptor gives, in memory that stays; SIZE_MAX where that is too much. */
static size_t read_all(int fd, char **bytes) {
  size_t capacity = 0, length = 0;
  for (;;) {
    if (length == capacity) {
      if (capacity > MOST_VARIABLE_BYTES) return SIZE_MAX;
      capacity = capacity == 0 ? 16384 : capacity * 2;
      char *wider = realloc(*bytes, capacity + 1);
      if (wider == NULL) return SIZE_MAX;
      *bytes = wider;
    }
    ssize_t got = read(fd, *bytes + length, capacity - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += (size_t)got;
  }
  (*bytes)[length] = 0;
  return length;
}

void read_variables(struct plan *plan) {
  static const char doing[] = "putting the variables together";
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) fail(doing, "", NULL, errno);
  pid_t pid = fork();
  if (pid < 0) fail(doing, "", NULL, errno);
  if (pid == 0) become_reader(plan, ends[1]);
  close(ends[1]);
  char *text = NULL;
  size_t length = read_all(ends[0], &text);
  close(ends[0]);
  if (length == SIZE_MAX) kill(pid, SIGKILL);
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (length == SIZE_MAX) fail(doing, "", NULL, E2BIG);
  if (WIFEXITED(status) && WEXITSTATUS(status) == LAUNCH_FAILED) {
    /* The reader's own report: reason and stage, a line each. */
    char *reason = strtok(text, "\n");
    char *stage = reason == NULL ? NULL : strtok(NULL, "\n");
    fail(stage == NULL ? doing : stage, "", reason == NULL ? "the reader cannot be executed" : reason, EINVAL);
  }
  if (status != 0) fail(doing, "", "the reader failed", EINVAL);
  plan->variable_count = 0;
  for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
    if (strchr(text + at, '=') == NULL || text[at] == '=') fail(doing, "", "a variable is not NAME=value", EINVAL);
    if (plan->variable_count == MOST_VARIABLES) fail(doing, "", "too many variables", E2BIG);
    plan->variables[plan->variable_count++] = text + at;
  }
  plan->variables[plan->variable_count] = NULL;
}

void set_variable(struct plan *plan, const char *name, const char *value) {
  size_t length = strlen(name);
  char *variable;
  if (asprintf(&variable, "%s=%s", name, value) < 0) fail("putting the variables together", "", NULL, ENOMEM);
  size_t index = 0;
  while (index < plan->variable_count && strncmp(plan->variables[index], variable, length + 1) != 0) index++;
  if (index == MOST_VARIABLES) fail("putting the variables together", "", "too many variables", E2BIG);
  if (index == plan->variable_count) plan->variables[++plan->variable_count] = NULL;
  plan->variables[index] = variable;
}

/* Names of resources, as prlimit(1) writes them. */
static const char *const RESOURCES[RLIM_NLIMITS] = {
    [RLIMIT_AS] = "AS",           [RLIMIT_CORE] = "CORE",     [RLIMIT_CPU] = "CPU",     [RLIMIT_DATA] = "DATA",
    [RLIMIT_FSIZE] = "FSIZE",     [RLIMIT_LOCKS] = "LOCKS",   [RLIMIT_MEMLOCK] = "MEMLOCK",
    [RLIMIT_MSGQUEUE] = "MSGQUEUE", [RLIMIT_NICE] = "NICE",   [RLIMIT_NOFILE] = "NOFILE", [RLIMIT_NPROC] = "NPROC",
    [RLIMIT_RSS] = "RSS",         [RLIMIT_RTPRIO] = "RTPRIO", [RLIMIT_RTTIME] = "RTTIME",
    [RLIMIT_SIGPENDING] = "SIGPENDING", [RLIMIT_STACK] = "STACK",
};

void set_limits(const struct plan *plan) {
  for (size_t index = 0; index < plan->limit_count; index++) {
    const struct limit *limit = &plan->limits[index];
    if (setrlimit((enum __rlimit_resource)limit->resource, &limit->values) == 0) continue;
    int error = errno;
    char reason[128];
    const char *why = error == EPERM ? "operation not permitted" : strerror(error);
    snprintf(reason, sizeof reason, "failed to set the %s resource limit: %s", RESOURCES[limit->resource], why);
    fail("setting limits", "", reason, error);
  }
  /* A program cannot load its libraries without a descriptor. */
  int probe = open("/", O_PATH | O_CLOEXEC);
  if (probe < 0 && errno == EMFILE) fail("starting within limit-nofile", "", NULL, EMFILE);
  if (probe >= 0) close(probe);
}

void enter_directory(const char *path) {
  static const char doing[] = "entering ";
  struct stat found;
  if (stat(path, &found) < 0) fail(doing, path, "no such directory, or no permission to reach it", errno);
  if (!S_ISDIR(found.st_mode)) fail(doing, path, "not a directory", ENOTDIR);
  if (chdir(path) < 0) fail(doing, path, "permission denied", errno);
}
