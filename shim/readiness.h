/* How a run reports that it is ready: by a line on a descriptor, or by sd_notify(3). */
#ifndef SHIM_READINESS_H
#define SHIM_READINESS_H

#include "runs.h"

/*
 * Opens what the plan asks for. -1 with errno.
 * @param line descriptor for the program, which the caller closes after the launch; -1 where it asks for none
 */
int open_readiness(struct run *run, const struct plan *plan, int *line);

/* Reads what is there already. */
void read_readiness(struct run *run);

void close_readiness(struct run *run);

#endif
