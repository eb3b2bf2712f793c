/* Starts a process that becomes the program of a plan. */
#ifndef SHIM_LAUNCH_H
#define SHIM_LAUNCH_H

#include "plan.h"

/*
 * Remembers the limit on descriptors, which programs get back, raises that of the shim, and reserves some low ones. To be called
 * once, before the shim opens any.
 */
void prepare_launches(void);

/*
 * Starts the launch in a new process, in the cgroup of the plan.
 * @param sources our descriptors for those of the plan, in its order; -1 is /dev/null
 * @param ready our descriptor for the one on which it reports readiness, or -1
 * @param report our end of the connection for reports; it ends when the program takes over
 * Returns the pid, or -1 with errno.
 */
pid_t start_launch(struct plan *plan, const int *sources, int ready, int *report);

#endif
