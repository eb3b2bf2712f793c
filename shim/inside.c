#define _GNU_SOURCE
#include "inside.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool is_inside, is_ending;

int connect_outside(const char *path, const char *token, struct writer *writer) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path || strlen(token) > LONGEST_TOKEN) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  is_inside = true;
  /* Programs of the container have its account: they must neither trace it nor read its environment. */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  size_t begin = begin_frame(writer, KIND_JOIN);
  put_text(writer, TAG_MAGIC, WIRE_MAGIC);
  put_number(writer, TAG_LOWEST, WIRE_LOWEST);
  put_number(writer, TAG_HIGHEST, WIRE_HIGHEST);
  put_text(writer, TAG_BYTES, token);
  end_frame(writer, begin);
  return fd;
}

ssize_t receive_with(int fd, void *bytes, size_t length, int *descriptor) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr head;
  } control;
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (head == NULL || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) return got;
  if (*descriptor >= 0) close(*descriptor);
  memcpy(descriptor, CMSG_DATA(head), sizeof(int));
  return got;
}

bool is_alone(void) {
  return kill(-1, 0) < 0 && errno == ESRCH;
}

void end_container(void) {
  is_ending = true;
  kill(-1, SIGTERM);
}
