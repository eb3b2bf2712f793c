#define _GNU_SOURCE
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stage.h"

static const char DOING[] = "entering the jail ";

/* Why others than root and the owner can change the directory; "" where they cannot. */
static void examine(int directory, const char *path, uid_t owner, char *reason, size_t capacity) {
  struct stat found;
  if (fstat(directory, &found) < 0) {
    snprintf(reason, capacity, "cannot examine the directories above it");
  } else if (found.st_uid != 0 && found.st_uid != owner) {
    snprintf(reason, capacity, "%s belongs to neither root nor the daemon's owner", path);
  } else if (found.st_mode & (S_IWGRP | S_IWOTH)) {
    unsigned mode = found.st_mode & 07777;
    snprintf(reason, capacity, "accounts other than its owner may write to %s (mode %o)", path, mode);
  }
}

static void fail_at(const char *path, int error) {
  struct stat found;
  if (stat(path, &found) < 0) fail(DOING, path, "no such directory, or no permission to reach it", error);
  if (!S_ISDIR(found.st_mode)) fail(DOING, path, "not a directory", error);
  char real[PATH_MAX], reason[PATH_MAX + 64];
  if (realpath(path, real) == NULL || strcmp(real, path) == 0) fail(DOING, path, NULL, error);
  snprintf(reason, sizeof reason, "a symlink leads there; write chroot=%s", real);
  fail(DOING, path, reason, ELOOP);
}

void enter_jail(const char *path, uid_t owner) {
  char walked[PATH_MAX] = "/", reason[PATH_MAX + 64] = "";
  if (strlen(path) >= sizeof walked) fail(DOING, path, NULL, ENAMETOOLONG);
  int directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail(DOING, path, NULL, errno);
  examine(directory, walked, owner, reason, sizeof reason);
  /* Component by component, so that no link is followed and what was examined is what is entered. */
  for (const char *at = path; *(at += strspn(at, "/")) != 0;) {
    size_t length = strcspn(at, "/");
    char name[NAME_MAX + 1];
    if (length > NAME_MAX) fail(DOING, path, NULL, ENAMETOOLONG);
    memcpy(name, at, length);
    name[length] = 0;
    at += length;
    memcpy(walked, path, (size_t)(at - path));
    walked[at - path] = 0;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) fail_at(path, ELOOP);
    int next = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) fail_at(path, errno);
    close(directory);
    directory = next;
    if (reason[0] == 0) examine(directory, walked, owner, reason, sizeof reason);
  }
  if (fchdir(directory) < 0) fail(DOING, path, "permission denied", errno);
  close(directory);
  if (reason[0] != 0) fail(DOING, path, reason, EPERM);
}
