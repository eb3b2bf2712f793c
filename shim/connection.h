/* Connections of supervisors: requests on some, events on one. */
#ifndef SHIM_CONNECTION_H
#define SHIM_CONNECTION_H

#include <stdbool.h>

/* Listens for supervisors at the path, where no other shim does. -1 with errno. */
int begin_connections(const char *path);

/*
 * Connects to the shim outside of the container, which proves it by the token; it then has the part of a supervisor. The end of
 * the connection is the end of the shim. -1 with errno.
 */
int join(const char *path, const char *token);

/* Sends what has changed, as far as the client reads. To be called after each wait. */
void send_events(void);

/* Whether a supervisor is connected. */
bool is_connected(void);

/* Whether a supervisor has requested the end of the shim. */
bool is_end_requested(void);

/* Removes the socket. */
void end_connections(void);

#endif
