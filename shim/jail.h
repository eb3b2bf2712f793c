/* Enters the directory of a jail, as the account. */
#ifndef SHIM_JAIL_H
#define SHIM_JAIL_H

#include <sys/types.h>

/*
 * Makes it the working directory. Only root and `owner` may be able to change it and the directories above it: then it
 * remains the one that was checked. Fails the launch otherwise.
 */
void enter_jail(const char *path, uid_t owner);

#endif
