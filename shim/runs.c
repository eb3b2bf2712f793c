#define _GNU_SOURCE
#include "runs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"
#include "inside.h"
#include "launch.h"
#include "readiness.h"
#include "reserve.h"

/* Chains of runs by their pids. */
#define CHAINS 4096
/* Processes that are reaped at once. */
#define MOST_REAPED 256

static struct run *by_pid[CHAINS];
static size_t live_runs;
/* Inside of a container, which has one run at a time: that which has exited, while other processes are left. */
static struct run *last;

static void close_report(struct run *run) {
  if (run->report.fd < 0) return;
  forget_source(&run->report);
  close(run->report.fd);
  run->report.fd = -1;
}

/* Keeps what a report says. Without memory for it, errno has to do. */
static void keep_words(struct run *run, const char *report, size_t length) {
  free(run->words);
  run->words = calloc(1, length + 2);
  run->stage = "";
  if (run->words == NULL) return;
  memcpy(run->words, report, length);
  run->stage = run->words + strlen(run->words) + 1;
}

static void take_report(struct run *run, const char *report, size_t length) {
  const size_t head = 1 + sizeof run->failure;
  if (length < head) return;
  int error;
  memcpy(&error, report + 1, sizeof error);
  switch ((enum report)report[0]) {
    case REPORT_FAILED:
      run->failure = error != 0 ? error : EIO;
      keep_words(run, report + head, length - head);
      break;
    case REPORT_WAITING: keep_words(run, report + head, length - head); break;
    case REPORT_CONTINUES:
      free(run->words);
      run->words = NULL;
      break;
    default: return;
  }
  mark_changed(&run->object);
}

/* Reads what the launch has reported; at the end of the reports the program has taken over. */
static void read_reports(struct run *run) {
  char report[LONGEST_REPORT];
  while (run->report.fd >= 0) {
    ssize_t length = read(run->report.fd, report, sizeof report);
    if (length > 0) {
      take_report(run, report, (size_t)length);
      continue;
    }
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    close_report(run);
    if (run->failure == 0 && run->state != RUN_EXITED) run->state = RUN_LAUNCHED;
    mark_changed(&run->object);
  }
}

static void report_ready(struct source *source, uint32_t events) {
  (void)events;
  read_reports((struct run *)((char *)source - offsetof(struct run, report)));
}

static void release(struct run *run) {
  close_report(run);
  close_readiness(run);
}

static void discard(struct run *run) {
  int error = errno;
  if (last == run) last = NULL;
  release(run);
  free(run->words);
  free(run->cgroup);
  discard_again(run);
  remove_object(&run->object);
  errno = error;
}

/* Our descriptor for one of a plan. -1 with errno. @param opened one that is to be closed after the launch; else unchanged */
static int source_of(const struct descriptor *wanted, int *opened) {
  enum object_kind kind = wanted->kind == DESCRIPTOR_SOCKET ? OBJECT_SOCKET : OBJECT_FIFO;
  struct held *held = find_object(kind, wanted->name);
  if (held == NULL) return -1;
  if (wanted->kind == DESCRIPTOR_INPUT) {
    *opened = reopen_held(held, O_RDONLY | O_NONBLOCK);
    if (*opened < 0) return -1;
    fcntl(*opened, F_SETFL, O_RDONLY);
    return *opened;
  }
  held->shared = true;
  /* A program may have made the shared descriptor non-blocking. */
  if (wanted->target <= STDERR_FILENO && !held->nonblock) {
    int flags = fcntl(held->fd, F_GETFL);
    if (flags & O_NONBLOCK) fcntl(held->fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  return held->fd;
}

/* Starts the process of a run. -1 with errno. */
static int start(struct run *run, struct plan *plan) {
  int sources[MOST_DESCRIPTORS], opened[MOST_DESCRIPTORS];
  size_t count = 0;
  int ready = -1, result = -1;
  for (; count < plan->descriptor_count; count++) {
    opened[count] = sources[count] = -1;
    sources[count] = source_of(&plan->descriptors[count], &opened[count]);
    if (sources[count] < 0) break;
  }
  if (count == plan->descriptor_count && open_readiness(run, plan, &ready) == 0) {
    run->pid = start_launch(plan, sources, ready, &run->report.fd);
    result = run->pid < 0 ? -1 : 0;
  }
  int error = errno;
  for (size_t index = 0; index < count; index++)
    if (opened[index] >= 0) close(opened[index]);
  if (ready >= 0) close(ready);
  errno = error;
  return result;
}

struct run *launch_run(struct plan *plan) {
  /* A plan without an account must not run as root by mistake. */
  if (geteuid() == 0 && !plan->becomes) {
    errno = EPERM;
    return NULL;
  }
  struct run *run = add_object(OBJECT_RUN, plan->name, sizeof *run);
  if (run == NULL) return NULL;
  run->state = RUN_LAUNCHING;
  run->launched_at = now_ms();
  run->report.fd = run->line.fd = run->notice.fd = -1;
  run->report.ready = report_ready;
  if (plan->cgroup != NULL) run->cgroup = strdup(plan->cgroup);
  if ((plan->cgroup != NULL && run->cgroup == NULL) || start(run, plan) < 0) {
    discard(run);
    return NULL;
  }
  if (within_reserve(run->report.fd) < 0) run->report.fd = -1;
  if (run->report.fd < 0 || watch_source(&run->report, EPOLLIN) < 0) {
    /* Unreported, it would look launched whatever happens. */
    int error = errno;
    kill(run->pid, SIGKILL);
    discard(run);
    errno = error;
    return NULL;
  }
  struct run **chain = &by_pid[(size_t)run->pid % CHAINS];
  run->next_of_pid = *chain;
  *chain = run;
  live_runs++;
  return run;
}

int forget_run(struct run *run) {
  if (run->state != RUN_EXITED) {
    errno = EBUSY;
    return -1;
  }
  discard(run);
  return 0;
}

static void end_run(pid_t pid, int status) {
  struct run **place = &by_pid[(size_t)pid % CHAINS];
  while (*place != NULL && (*place)->pid != pid) place = &(*place)->next_of_pid;
  struct run *run = *place;
  if (run == NULL) return;
  *place = run->next_of_pid;
  read_reports(run);
  read_readiness(run);
  bool was_launched = run->state == RUN_LAUNCHED;
  run->state = RUN_EXITED;
  run->status = status;
  release(run);
  live_runs--;
  mark_changed(&run->object);
  if (was_launched) launch_next(run);
  run->left = is_inside && run->again.next == 0 && !is_alone();
  if (run->left) last = run;
}

static void look_for_left(void) {
  if (last == NULL || !is_alone()) return;
  last->left = false;
  mark_changed(&last->object);
  last = NULL;
}

int signal_run(const struct run *run, int number, bool all) {
  errno = ESRCH;
  return run->state == RUN_EXITED && !all ? -1 : kill(all ? -1 : run->pid, number);
}

void reap_processes(void) {
  pid_t pid = 0;
  int status;
  for (int left = MOST_REAPED; left > 0; left--) {
    pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) break;
    if (WIFSTOPPED(status)) {
      /* By PTRACE_TRACEME it has made this process its tracer, which would have to let it continue. */
      ptrace(PTRACE_DETACH, pid, NULL, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
      continue;
    }
    end_run(pid, status);
  }
  look_for_left();
  if (pid <= 0) return;
  /* The rest after other work: a tenant may end processes all the time. */
  raise(SIGCHLD);
}

size_t count_live_runs(void) {
  return live_runs;
}
