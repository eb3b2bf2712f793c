#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "account.h"
#include "cgroup.h"
#include "jail.h"
#include "stage.h"

/* Descriptors of a plan, and those for readiness, the lock and the report. */
#define MOST_KEPT (MOST_DESCRIPTORS + 3)

static struct rlimit descriptor_limit;
/* Whether clone3(2) has never failed with ENOSYS: Docker's seccomp profile answers so. */
static bool has_clone3 = true;

/* The highest limit that the kernel accepts; 0 where it does not say. */
static rlim_t highest_limit(void) {
  char text[32];
  int fd = open("/proc/sys/fs/nr_open", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length < 0 ? 0 : length] = 0;
  return strtoul(text, NULL, 10);
}

void raise_descriptor_limit(void) {
  if (getrlimit(RLIMIT_NOFILE, &descriptor_limit) < 0) return;
  rlim_t hard = descriptor_limit.rlim_max, highest = highest_limit();
  /* Beyond its hard limit only with CAP_SYS_RESOURCE. */
  if (highest > hard && setrlimit(RLIMIT_NOFILE, &(struct rlimit){highest, highest}) == 0) return;
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){hard, hard});
}

/* The descriptors that a launch keeps, moved away from the numbers of its targets. */
struct kept {
  int fds[MOST_KEPT];
  int targets[MOST_KEPT];
  size_t count;
};

static void keep(struct kept *kept, int fd, int target) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, TARGETS);
  if (copy < 0) fail("starting the launch", "", NULL, errno);
  kept->fds[kept->count] = copy;
  kept->targets[kept->count++] = target;
}

static int compare(const void *one, const void *other) {
  return *(const int *)one - *(const int *)other;
}

/* Closes everything else now, not at exec: the sockets of other tenants must not be within reach of this one's stages. */
static void close_others(const struct kept *kept, int report) {
  int fds[MOST_KEPT + 1];
  size_t count = kept->count;
  memcpy(fds, kept->fds, count * sizeof *fds);
  fds[count++] = report;
  qsort(fds, count, sizeof *fds, compare);
  unsigned from = STDERR_FILENO + 1;
  for (size_t index = 0; index < count; index++) {
    if ((unsigned)fds[index] > from) close_range(from, (unsigned)fds[index] - 1, 0);
    from = (unsigned)fds[index] + 1;
  }
  close_range(from, ~0u, 0);
}

static void reset_signals(void) {
  struct sigaction normal = {.sa_handler = SIG_DFL};
  for (int each = 1; each <= SIGRTMAX; each++) sigaction(each, &normal, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void set_nice(int nice) {
  char number[16];
  snprintf(number, sizeof number, "%d", nice);
  if (setpriority(PRIO_PROCESS, 0, nice) < 0) fail("setting nice ", number, NULL, errno);
}

/* The program must not outlive the shim. */
static void bind_to_parent(int death_signal, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, death_signal);
  if (getppid() != parent) _exit(LAUNCH_FAILED);
}

/* Puts the descriptors where the program expects them. */
static void place_descriptors(const struct kept *kept) {
  for (size_t index = 0; index < kept->count; index++)
    if (dup2(kept->fds[index], kept->targets[index]) < 0) fail("starting the launch", "", NULL, errno);
}

/* Executes the arguments; finds the program as a shell does. Returns where that is impossible. */
static void execute_words(const struct plan *plan) {
  const char *word = plan->words[0];
  char *const *words = (char *const *)plan->words, *const *variables = (char *const *)plan->variables;
  if (strchr(word, '/') != NULL) {
    execve(word, words, variables);
    return;
  }
  const char *path = "";
  for (size_t index = 0; index < plan->variable_count; index++)
    if (strncmp(plan->variables[index], "PATH=", 5) == 0) path = plan->variables[index] + 5;
  errno = ENOENT;
  while (*path != 0) {
    size_t length = strcspn(path, ":");
    char file[4352];
    int used = snprintf(file, sizeof file, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", word);
    if (used > 0 && (size_t)used < sizeof file) execve(file, words, variables);
    path += length + (path[length] == ':');
  }
}

static noreturn void fail_to_execute(const char *program) {
  int error = errno;
  if (error == EAGAIN) fail("starting within its process limits", "", NULL, error);
  if (error == ENOMEM) fail("starting within its memory limits", "", NULL, error);
  fail("running ", program, error == ENOENT ? "no such program, or no permission to run it" : NULL, error);
}

static noreturn void execute(struct plan *plan) {
  if (plan->word_count > 0) {
    char directory[4096];
    if (getcwd(directory, sizeof directory) != NULL) set_variable(plan, "PWD", directory);
    execute_words(plan);
    if (plan->shell == NULL) fail_to_execute(plan->words[0]);
  }
  const char *words[] = {plan->shell, "-c", plan->start, NULL};
  execve(plan->shell, (char *const *)words, (char *const *)plan->variables);
  fail_to_execute(plan->shell);
}

static void require_shell(const struct plan *plan) {
  if (plan->shell == NULL || access(plan->shell, X_OK) == 0) return;
  if (plan->jail == NULL) fail("running ", plan->shell, "no such program, or no permission to run it", errno);
  char reason[4352];
  snprintf(reason, sizeof reason, "program not found or not executable: %s", plan->shell);
  fail("running the shell within the jail", "", reason, errno);
}

/* What the new process does, in this order. Nothing of a tenant's is touched before it has become the account. */
static noreturn void run_launch(struct plan *plan, const int *sources, int ready, int report, pid_t parent, bool joined) {
  struct kept kept = {.count = 0};
  report_to(report);
  setsid();
  reset_signals();
  report = fcntl(report, F_DUPFD_CLOEXEC, TARGETS);
  if (report < 0) fail("starting the launch", "", NULL, errno);
  report_to(report);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) fail("starting the launch", "", NULL, errno);
  for (int each = 0; each <= STDERR_FILENO; each++) dup2(nothing, each);
  for (size_t index = 0; index < plan->descriptor_count; index++)
    keep(&kept, sources[index], plan->descriptors[index].target);
  if (plan->ready_fd >= 0) keep(&kept, ready, plan->ready_fd);
  close_others(&kept, report);
  if (!joined && plan->cgroup != NULL) join_cgroup(plan->cgroup);
  if (plan->sets_nice) set_nice(plan->nice);
  setrlimit(RLIMIT_NOFILE, &descriptor_limit);
  become_account(plan);
  if (plan->death_signal > 0) bind_to_parent(plan->death_signal, parent);
  if (plan->lock != NULL) {
    kept.fds[kept.count] = take_lock(plan->lock);
    kept.targets[kept.count++] = plan->lock_fd;
  }
  if (plan->reader_word_count > 0) read_variables(plan);
  if (plan->jail != NULL) enter_jail(plan->jail, plan->jail_owner);
  place_descriptors(&kept);
  set_limits(plan);
  if (plan->jail != NULL) {
    change_root(plan->jail);
    require_shell(plan);
  }
  umask(plan->umask);
  enter_directory(plan->directory);
  if (plan->jail == NULL) require_shell(plan);
  if (plan->listen_pid) {
    char number[16];
    snprintf(number, sizeof number, "%d", (int)getpid());
    set_variable(plan, "LISTEN_PID", number);
  }
  execute(plan);
}

/* fork(2) into the cgroup. -1 with errno where this kernel, the container or the cgroup refuses that. */
static pid_t fork_into(const char *cgroup) {
  int directory = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  struct clone_args how = {
      .flags = CLONE_INTO_CGROUP,
      .exit_signal = SIGCHLD,
      .cgroup = (uint64_t)directory,
  };
  pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);
  if (pid < 0 && errno == ENOSYS) has_clone3 = false;
  if (pid != 0) close(directory);
  return pid;
}

pid_t start_launch(struct plan *plan, const int *sources, int ready, int *report) {
  int ends[2];
  pid_t parent = getpid(), pid = -1;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
  bool joined = false;
  if (plan->cgroup != NULL && has_clone3) {
    pid = fork_into(plan->cgroup);
    joined = pid >= 0;
  }
  /* The new process joins by itself, and reports in words if it cannot. */
  if (pid < 0) pid = fork();
  if (pid == 0) run_launch(plan, sources, ready, ends[1], parent, joined);
  int error = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    errno = error;
    return -1;
  }
  fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK);
  *report = ends[0];
  return pid;
}
