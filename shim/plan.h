/* The launch plan of a run, read out of a request. Pure. */
#ifndef SHIM_PLAN_H
#define SHIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "wire.h"

#define MOST_WORDS 512
/* As many as a conf file has room for. */
#define MOST_VARIABLES 8192
#define MOST_GROUPS 1024
#define MOST_DESCRIPTORS 16
#define MOST_RLIMITS 16
/* Descriptors of a program have numbers below this. */
#define TARGETS 64

enum descriptor_kind {
  DESCRIPTOR_SOCKET = 1, /* a held socket */
  DESCRIPTOR_FIFO = 2,   /* a held FIFO, for reading and writing */
  DESCRIPTOR_INPUT = 3,  /* a held FIFO, opened again for reading without waiting */
};

struct descriptor {
  int target;
  enum descriptor_kind kind;
  struct text name;
};

struct limit {
  int resource;
  struct rlimit values;
};

/* Texts belong to the plan, except the names of descriptors, which belong to the request. Absent ones are NULL. */
struct plan {
  struct text name;
  const char *words[MOST_WORDS + 1];
  const char *reader_words[MOST_WORDS + 1];
  gid_t groups[MOST_GROUPS];
  struct descriptor descriptors[MOST_DESCRIPTORS];
  struct limit limits[MOST_RLIMITS];
  size_t word_count, variable_count, reader_word_count, reader_variable_count;
  size_t group_count, descriptor_count, limit_count;
  const char *shell, *start, *directory, *cgroup, *lock, *jail, *notify;
  uid_t uid, jail_owner;
  gid_t gid;
  mode_t umask;
  int nice, lock_fd, ready_fd, death_signal;
  /* Shortest life in ms after which the next run follows by itself; 0: none does. */
  uint32_t again;
  bool becomes, sets_nice, keeps, listen_pid;
  char *arena;
  size_t arena_used;
  /* Last, because they are long: only what is used is written. */
  const char *variables[MOST_VARIABLES + 1];
  const char *reader_variables[MOST_VARIABLES + 1];
};

/*
 * Reads a plan. NULL, or what is wrong with it; the plan must be discarded either way. Sets errno: EPROTO for an unknown
 * field, EINVAL for a wrong one, E2BIG for too many, ENOMEM.
 */
const char *read_plan(struct reader fields, struct plan *plan);

void discard_plan(struct plan *plan);

#endif
