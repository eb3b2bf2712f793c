/*
 * The next run of a run that has ended by itself, launched by the same plan, so that nobody waits for a supervisor. It happens
 * once: the supervisor permits each further one when it has learned of the last.
 */
#ifndef SHIM_AGAIN_H
#define SHIM_AGAIN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

struct run;

struct again {
  /* Fields of the launch; NULL where no run follows. */
  uint8_t *fields;
  size_t length;
  /* Shortest life in ms after which the next one follows; 0: none does. */
  uint32_t after;
  /* The run that has followed; 0: none has. */
  pid_t next;
  /* When it was launched: run.launched_at. */
  uint64_t next_at;
};

/* Launches a run by the fields of a plan. NULL with errno and, where the plan is wrong, the problem; else NULL is there. */
struct run *launch_fields(struct reader fields, const char **problem);

/* Sets the shortest life of a run. -1 with errno: EBUSY where it has exited, EINVAL where it was launched without one. */
int permit_next(struct run *run, uint32_t after);

/*
 * To be called when a run has ended that its program had taken over. The next one is launched if the former ended with code 0
 * or by a signal after its shortest life, and its cgroup is empty. Its name and its cgroup have the next number.
 */
void launch_next(struct run *run);

void discard_again(struct run *run);

#endif
