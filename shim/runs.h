/* Runs: processes that the shim has launched, until their supervisor has seen how they ended. */
#ifndef SHIM_RUNS_H
#define SHIM_RUNS_H

#include <sys/types.h>

#include "again.h"
#include "loop.h"
#include "plan.h"
#include "stage.h"
#include "table.h"

enum run_state {
  RUN_LAUNCHING = 1,
  RUN_LAUNCHED = 3, /* its program has taken over */
  RUN_EXITED = 4,
};

struct run {
  struct object object;
  pid_t pid;
  struct run *next_of_pid;
  enum run_state state;
  bool ready;
  /* Reports of the launch. */
  struct source report;
  /* Where it writes a line when it is ready. */
  struct source line;
  size_t line_left;
  /* Where it sends READY=1. */
  struct source notice;
  char *notify_path;
  int waits;
  /* Directory of its cgroup; NULL for none. */
  char *cgroup;
  /* What the launch waits for, or the reason and the stage of its failure, with NUL behind each; NULL for neither. */
  char *words;
  const char *stage;
  int failure;
  /* Of waitpid(2). */
  int status;
  /* When it was launched, in ms of CLOCK_MONOTONIC. */
  uint64_t launched_at;
  /* See again.h. */
  struct again again;
  /* Inside of a container: it has exited, and other processes are left. */
  bool left;
};

/* Launches a plan. NULL with errno. */
struct run *launch_run(struct plan *plan);

/* Removes a run that has exited. -1 with EBUSY for any other. */
int forget_run(struct run *run);

/* Inside of a container: signals its main process, or all processes. -1 with errno. */
int signal_run(const struct run *run, int number, bool all);

/* Reaps processes that have ended, those of runs and orphans; raises SIGCHLD where some may be left. */
void reap_processes(void);

size_t count_live_runs(void);

#endif
