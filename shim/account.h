/* Becomes an account for good, and keeps of root's capabilities only what the rest of the launch needs. */
#ifndef SHIM_ACCOUNT_H
#define SHIM_ACCOUNT_H

#include "plan.h"

/* Takes the groups, the gid and the uid of the plan. Sets no_new_privs in any case. Fails the launch on an error. */
void become_account(const struct plan *plan);

/* Makes the working directory the root and drops the capability that was kept for this. Fails the launch on an error. */
void change_root(const char *path);

#endif
