#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account.h"
#include "cgroup.h"
#include "jail.h"
#include "stage.h"

/* Descriptors of a plan, and those for readiness, the lock and the report. */
#define MOST_KEPT (MOST_DESCRIPTORS + 3)
/* Descriptors below this are those of a launch, at reserved numbers, and a few of the shim. */
#define FIRST_OTHER (TARGETS + MOST_KEPT)
#define STACK ((size_t)1024 * 1024)
/* Descriptors from which on another process costs less than a copy of their table. */
#define MANY 1024

static struct rlimit descriptor_limit;
/* Whether clone3(2) has never failed with ENOSYS: Docker's seccomp profile answers so. */
static bool has_clone3 = true;

static void raise_descriptor_limit(void) {
  if (getrlimit(RLIMIT_NOFILE, &descriptor_limit) < 0) return;
  rlim_t hard = descriptor_limit.rlim_max, highest = (rlim_t)read_number("/proc/sys/fs", "nr_open", 0);
  /* Beyond its hard limit only with CAP_SYS_RESOURCE. */
  if (highest > hard && setrlimit(RLIMIT_NOFILE, &(struct rlimit){highest, highest}) == 0) return;
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){hard, hard});
}

/* Stack of the process that starts a launch; NULL without memory or descriptors for it. */
static char *stack;

/* Puts a copy at a reserved number. */
static bool reserve(int fd, int number) {
  return dup3(fd, number, O_CLOEXEC) == number;
}

void prepare_launches(void) {
  raise_descriptor_limit();
  for (int number = TARGETS; number < FIRST_OTHER; number++)
    if (fcntl(number, F_GETFD) >= 0 || !reserve(STDIN_FILENO, number)) return;
  char *memory = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory != MAP_FAILED && mprotect(memory, (size_t)sysconf(_SC_PAGESIZE), PROT_NONE) == 0) stack = memory;
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

/* A launch that is being started. */
struct start {
  struct plan *plan;
  const int *sources;
  int ready, report;
  pid_t parent;
  /* The new process, or -1 with an errno. */
  pid_t pid;
  int error;
};

/* fork(2) into the cgroup. -1 with errno where this kernel, the container or the cgroup refuses that. @param flags of clone(2) */
static pid_t fork_into(const char *cgroup, uint64_t flags) {
  int directory = open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -1;
  struct clone_args how = {
      .flags = CLONE_INTO_CGROUP | flags,
      /* A sibling has the one of its elder. */
      .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
      .cgroup = (uint64_t)directory,
  };
  pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);
  if (pid < 0 && errno == ENOSYS) has_clone3 = false;
  if (pid != 0) close(directory);
  return pid;
}

/* Starts the new process as a child of the shim. @param flags CLONE_PARENT in another process, else 0 */
static void start_process(struct start *start, unsigned flags) {
  const char *cgroup = start->plan->cgroup;
  bool joined = false;
  start->pid = -1;
  if (cgroup != NULL && has_clone3) {
    start->pid = fork_into(cgroup, flags);
    joined = start->pid >= 0;
  }
  /* The new process joins by itself, and reports in words if it cannot. */
  if (start->pid < 0) start->pid = (pid_t)syscall(SYS_clone, (unsigned long)(flags | SIGCHLD), 0ul, 0ul, 0ul, 0ul);
  if (start->pid == 0) run_launch(start->plan, start->sources, start->ready, start->report, start->parent, joined);
  start->error = errno;
}

/* In a process that shares memory with the shim, which waits for its end. */
static int start_sibling(void *start) {
  /* From here on it has a separate, short table. Where the kernel refuses that, the new process copies the whole one. */
  close_range(FIRST_OTHER, ~0u, CLOSE_RANGE_UNSHARE);
  start_process(start, CLONE_PARENT);
  return 0;
}

/*
 * fork(2) copies the table of descriptors, which has each held socket, and the new process would close them all. So a process
 * that shares table and memory gets a short table, starts the new one as its sibling, and ends. It is not in the cgroup of the
 * run, which may be throttled. false where that is impossible.
 */
static bool start_by_sibling(const struct start *wanted, struct start *start) {
  /* One launch is started at a time. */
  static int sources[MOST_DESCRIPTORS];
  int number = TARGETS;
  *start = *wanted;
  /* It is the lowest free number. */
  if (stack == NULL || wanted->report < MANY) return false;
  bool fits = true;
  for (size_t index = 0; index < start->plan->descriptor_count; index++) {
    sources[index] = wanted->sources[index] < 0 ? -1 : number;
    if (sources[index] >= 0) fits = fits && reserve(wanted->sources[index], number++);
  }
  start->sources = sources;
  if (start->ready >= 0) {
    fits = fits && reserve(wanted->ready, number);
    start->ready = number++;
  }
  fits = fits && reserve(wanted->report, number);
  start->report = number++;
  start->pid = -1;
  start->error = EAGAIN;
  pid_t starter = fits ? clone(start_sibling, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, start) : -1;
  while (number > TARGETS) reserve(STDIN_FILENO, --number);
  if (starter < 0) return false;
  while (waitpid(starter, NULL, 0) < 0 && errno == EINTR) continue;
  return true;
}

pid_t start_launch(struct plan *plan, const int *sources, int ready, int *report) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
  struct start wanted = {.plan = plan, .sources = sources, .ready = ready, .report = ends[1], .parent = getpid()}, start;
  if (!start_by_sibling(&wanted, &start)) {
    start = wanted;
    start_process(&start, 0);
  }
  close(ends[1]);
  if (start.pid < 0) {
    close(ends[0]);
    errno = start.error;
    return -1;
  }
  fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK);
  *report = ends[0];
  return start.pid;
}
