#define _GNU_SOURCE
#include "again.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "inside.h"
#include "runs.h"

/* Longest fields that are kept: a tenant may have thousands of runs, and 64 KiB of variables in each. */
#define LONGEST_KEPT 8192

/* A plan is read and used at once. */
static struct plan plan;

/* Keeps the fields for the next run. Where they are too long, or without memory, none follows. */
static void keep_fields(struct run *run, struct reader fields) {
  size_t length = (size_t)(fields.end - fields.at);
  run->again.fields = length > LONGEST_KEPT ? NULL : malloc(length);
  if (run->again.fields == NULL) return;
  memcpy(run->again.fields, fields.at, length);
  run->again.length = length;
  run->again.after = plan.again;
}

struct run *launch_fields(struct reader fields, const char **problem) {
  *problem = read_plan(fields, &plan);
  struct run *run = *problem == NULL ? launch_run(&plan) : NULL;
  int error = errno;
  if (run != NULL && plan.again > 0) keep_fields(run, fields);
  discard_plan(&plan);
  errno = error;
  return run;
}

int permit_next(struct run *run, uint32_t after) {
  errno = run->state == RUN_EXITED ? EBUSY : EINVAL;
  if (run->state == RUN_EXITED || run->again.fields == NULL) return -1;
  run->again.after = after;
  return 0;
}

void discard_again(struct run *run) {
  free(run->again.fields);
  run->again.fields = NULL;
}

/* The text with the number at its end increased by one. false where there is none, or no room. */
static bool count_up(const char *text, char *next, size_t size) {
  size_t begin = strlen(text);
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') begin--;
  if (text[begin] == 0) return false;
  errno = 0;
  unsigned long number = strtoul(text + begin, NULL, 10);
  if (errno != 0 || number == ULONG_MAX) return false;
  int length = snprintf(next, size, "%.*s%lu", (int)begin, text, number + 1);
  return length > 0 && (size_t)length < size;
}

static struct run *launch_after(const struct run *run, const char *name, const char *cgroup) {
  struct run *next = NULL;
  if (read_plan(read_fields(run->again.fields, run->again.length), &plan) == NULL) {
    plan.name = (struct text){(const uint8_t *)name, strlen(name)};
    plan.cgroup = cgroup;
    next = launch_run(&plan);
  }
  discard_plan(&plan);
  return next;
}

/* Whether no process of it is left; false where nobody knows. */
static bool is_over(const struct run *run) {
  return run->cgroup == NULL ? is_inside && !is_ending && is_alone() : !is_populated(run->cgroup);
}

void launch_next(struct run *run) {
  char name[LONGEST_NAME + 1], cgroup[4096];
  bool has_cgroup = run->cgroup != NULL;
  bool by_itself = WIFSIGNALED(run->status) || WEXITSTATUS(run->status) == 0;
  if (run->again.fields == NULL || run->again.after == 0 || !by_itself) return;
  if (now_ms() - run->launched_at < run->again.after || !is_over(run)) return;
  if (!count_up(run->object.name, name, sizeof name)) return;
  if (has_cgroup && !count_up(run->cgroup, cgroup, sizeof cgroup)) return;
  if (has_cgroup && copy_cgroup(run->cgroup, cgroup) < 0) return;
  struct run *next = launch_after(run, name, has_cgroup ? cgroup : NULL);
  if (next == NULL) {
    if (has_cgroup) rmdir(cgroup);
    return;
  }
  next->again = (struct again){.fields = run->again.fields, .length = run->again.length};
  run->again.fields = NULL;
  run->again.next = next->pid;
  run->again.next_at = next->launched_at;
}
