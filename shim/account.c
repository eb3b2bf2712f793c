#define _GNU_SOURCE
#include "account.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stage.h"

static const char DOING[] = "becoming the account";

/* The permitted and effective capabilities are these, the inheritable ones none. */
static void set_capabilities(uint64_t kept) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2] = {0};
  for (int half = 0; half < 2; half++) sets[half].effective = sets[half].permitted = (uint32_t)(kept >> (32 * half));
  if (syscall(SYS_capset, &head, sets) < 0) fail(DOING, "", NULL, errno);
}

/* Inheritable capabilities would survive an exec of a file that has them; the ambient ones go with them. */
static void clear_inheritable(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &head, sets) < 0) fail(DOING, "", NULL, errno);
  sets[0].inheritable = sets[1].inheritable = 0;
  if (syscall(SYS_capset, &head, sets) < 0) fail(DOING, "", NULL, errno);
}

static void empty_bounding_set(void) {
  for (unsigned long each = 0; prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; each++)
    if (prctl(PR_CAPBSET_DROP, each, 0, 0, 0) < 0) fail(DOING, "", NULL, errno);
}

void become_account(const struct plan *plan) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(DOING, "", NULL, errno);
  if (!plan->becomes) {
    clear_inheritable();
    return;
  }
  /* Another process of the account must not trace this one, which may still hold a capability. */
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (!plan->keeps) empty_bounding_set();
  if (plan->jail != NULL && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail(DOING, "", NULL, errno);
  if (setgroups(plan->group_count, plan->groups) < 0) fail(DOING, "", NULL, errno);
  if (setresgid(plan->gid, plan->gid, plan->gid) < 0) fail(DOING, "", NULL, errno);
  if (setresuid(plan->uid, plan->uid, plan->uid) < 0) fail(DOING, "", NULL, errno);
  if (plan->keeps) clear_inheritable();
  else set_capabilities(plan->jail == NULL ? 0 : UINT64_C(1) << CAP_SYS_CHROOT);
}

void change_root(const char *path) {
  if (chroot(".") < 0) fail("entering the jail ", path, NULL, errno);
  set_capabilities(0);
}
