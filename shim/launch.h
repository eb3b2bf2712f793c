/* Starts a process that becomes the program of a plan. */
#ifndef SHIM_LAUNCH_H
#define SHIM_LAUNCH_H

#include "plan.h"

/*
 * Remembers the limit on descriptors, which programs get back, and raises that of the shim as far as it may: to its hard limit,
 * or to that of the kernel (fs.nr_open). Reserves some low descriptors. To be called once, before the shim opens any.
 */
void prepare_launches(void);

/*
 * Starts the launch in a new process, in the cgroup of the plan.
 * @param sources our descriptors for those of the plan, in its order
 * @param ready our descriptor for the one on which it reports readiness, or -1
 * @param report our end of the connection for reports; it ends when the program takes over
 * Returns the pid, or -1 with errno.
 */
pid_t start_launch(struct plan *plan, const int *sources, int ready, int *report);

#endif
