#include "reserve.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

/* Connections, and what one request opens for a moment. */
#define RESERVE 32

int within_reserve(int fd) {
  struct rlimit limit;
  if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0 || (rlim_t)fd + RESERVE < limit.rlim_cur) return fd;
  close(fd);
  errno = EMFILE;
  return -1;
}
