/*
 * The shim: parent of all runs and holder of all sockets, so that its supervisor can come and go.
 *
 * Usage: dmhost-shim [-d FD] [-t TREE] SOCKET
 *        dmhost-shim -j SOCKET
 *        dmhost-shim -e
 *   -d FD     write a line to this descriptor when it listens
 *   -t TREE   own this directory of cgroups: no other shim takes it while this one lives
 *   -j        be process 1 of a container: join the shim that listens at SOCKET, by the token in the variable DMHOST_TOKEN
 *   -e        print the edition: a checksum of the sources of this program
 * Exit code 75: another shim owns TREE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connection.h"
#include "inside.h"
#include "launch.h"
#include "linger.h"
#include "loop.h"
#include "request.h"
#include "runs.h"

static bool is_terminated, joins;

static int explain(const char *what) {
  fprintf(stderr, "dmhost-shim: %s: %s\n", what, strerror(errno));
  return 1;
}

static void signal_came(struct source *source, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info;
  while (read(source->fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    /* A program of the container has a pid there, the engine has none. */
    if (is_inside && info.ssi_pid == 0) end_container();
    else if (!is_connected()) is_terminated = true;
  }
  reap_processes();
  if (is_ending && is_alone()) is_terminated = true;
}

/* Gets signals by a descriptor. A supervisor that is connected ends the shim by SHUTDOWN, not by TERM; an engine by TERM. */
static int await_signals(void) {
  static struct source source = {.ready = signal_came};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  catch_alarms();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  source.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return source.fd < 0 ? -1 : watch_source(&source, EPOLLIN);
}

/* Keeps nothing of the program that started it but the standard descriptors and `notify`. */
static int forget_parent(int notify) {
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return -1;
  for (int each = 0; each <= STDERR_FILENO; each++)
    if ((each == 0 || fcntl(each, F_GETFD) < 0) && dup2(nothing, each) < 0) return -1;
  unsigned first = STDERR_FILENO + 1;
  if (notify >= (int)first) {
    if (notify > (int)first && close_range(first, (unsigned)notify - 1, 0) < 0) return -1;
    first = (unsigned)notify + 1;
  }
  if (close_range(first, ~0u, 0) < 0) return -1;
  umask(077);
  return chdir("/");
}

/* Locks a directory for as long as this process lives; EWOULDBLOCK where another process has, or has just removed it. */
static int own(const char *path) {
  struct stat locked, named;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &locked) < 0) return -1;
  if (stat(path, &named) == 0 && named.st_dev == locked.st_dev && named.st_ino == locked.st_ino) return 0;
  errno = EWOULDBLOCK;
  return -1;
}

int main(int count, char **words) {
  int notify = -1, option;
  while ((option = getopt(count, words, "d:ejt:")) != -1 && option != '?') {
    if (option == 'e') return printf("%llu\n", EDITION) < 0;
    if (option == 'd') notify = atoi(optarg);
    else if (option == 'j') joins = true;
    else tree = optarg;
  }
  const char *token = getenv("DMHOST_TOKEN");
  if (option != -1 || (joins && (token == NULL || tree != NULL)) || optind + 1 != count || words[optind][0] != '/') {
    fprintf(stderr, "usage: dmhost-shim [-d FD] [-t TREE] | -j SOCKET, with the absolute path of SOCKET\n");
    return 100;
  }
  if (forget_parent(notify) < 0) return explain("cannot prepare descriptors");
  if (tree != NULL && own(tree) < 0) {
    if (errno == EWOULDBLOCK) return 75;
    return explain(tree);
  }
  prepare_launches();
  /* Orphans of a run stay within reach, and no other program has to reap them. */
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (begin_loop() < 0 || await_signals() < 0) return explain("cannot wait for events");
  if ((joins ? join(words[optind], token) : begin_connections(words[optind])) < 0) return explain(words[optind]);
  if (notify >= 0) {
    if (write(notify, "\n", 1) != 1) return explain("-d");
    close(notify);
  }
  while (!is_terminated && !is_end_requested()) {
    if (wait_once() < 0) return explain("cannot wait for events");
    send_events();
  }
  if (!joins) end_connections();
  return 0;
}
