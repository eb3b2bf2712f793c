/* Bounds closes that a tenant could prolong. */
#ifndef SHIM_LINGER_H
#define SHIM_LINGER_H

#include <stdbool.h>

/* To be called once, before the others. */
void catch_alarms(void);

/*
 * A message can carry descriptors. Where the kernel closes them in this process, because nobody receives them, the last close of a
 * socket waits as long as its program wants (SO_LINGER). From the first of these calls to the second, a signal ends each wait.
 */
void begin_closes(void);

/* Whether one was ended, or this process had to wait for the processor as long. */
bool end_closes(void);

/* close(2) of a socket to which others can send messages. */
void close_socket(int fd);

#endif
