/* Stages of a launch: each does one thing in the new process, as the account, and reports its failure to the shim. */
#ifndef SHIM_STAGE_H
#define SHIM_STAGE_H

#include <stdnoreturn.h>

#include "plan.h"

/* Exit code of a launch that fails before the program takes over. */
#define LAUNCH_FAILED 111
/* Bytes of a report. */
#define LONGEST_REPORT 4096

/* What a report is: its first byte. After it come errno (4 bytes), the reason, NUL and the stage. */
enum report { REPORT_WAITING = 'w', REPORT_CONTINUES = 'c', REPORT_FAILED = 'f' };

/* Reports go to this descriptor from now on. */
void report_to(int fd);

/* Reports that the stage `doing subject` failed, and exits. @param reason NULL: the text of `error` */
noreturn void fail(const char *doing, const char *subject, const char *reason, int error);

/* A copy of a descriptor that is no target of the program and closed on exec; closes the original. */
int move_away(int fd);

/* Locks the file; the result is the descriptor that holds the lock. */
int take_lock(const char *path);

/* Replaces the variables of the plan by those that its reader prints. */
void read_variables(struct plan *plan);

/* Sets NAME=value, which lives as long as the process. */
void set_variable(struct plan *plan, const char *name, const char *value);

void set_limits(const struct plan *plan);

void enter_directory(const char *path);

#endif
