/* The cgroup of a run, where clone3(2) could not put it there. */
#ifndef SHIM_CGROUP_H
#define SHIM_CGROUP_H

#include <stdbool.h>

/* The number in a file of the kernel's; `otherwise` where there is none. */
long read_number(const char *directory, const char *file, long otherwise);

/* Whether the cgroup or one below it has processes; true where that cannot be read. */
bool is_populated(const char *cgroup);

/* Makes a cgroup with the limits of another one beside it. -1 with errno; none is left then. */
int copy_cgroup(const char *from, const char *to);

/* A stage of a launch: moves this process into the cgroup, and fails where one of its limits on processes is exceeded then. */
void join_cgroup(const char *cgroup);

#endif
