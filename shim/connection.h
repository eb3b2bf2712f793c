/* Connections of supervisors: requests on some, events on one. */
#ifndef SHIM_CONNECTION_H
#define SHIM_CONNECTION_H

#include <stdbool.h>

/* Listens for supervisors at the path, where no other shim does. -1 with errno. */
int begin_connections(const char *path);

/* Sends what has changed, as far as the client reads. To be called after each wait. */
void send_events(void);

/* Whether a supervisor is connected. */
bool is_connected(void);

/* Whether a supervisor has requested the end of the shim. */
bool is_end_requested(void);

/* Removes the socket. */
void end_connections(void);

#endif
