/* The shim as process 1 of a container: another shim gives it sockets, FIFOs and plans by one connection. */
#ifndef SHIM_INSIDE_H
#define SHIM_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire.h"

/* Whether it is that. */
extern bool is_inside;

/* Whether the container is to end: no run follows by itself. */
extern bool is_ending;

/* Longest token that proves a container. */
#define LONGEST_TOKEN 128

/* Connects to the socket of the other shim; puts the JOIN with the token. The descriptor, or -1 with errno. */
int connect_outside(const char *path, const char *token, struct writer *writer);

/* Receives bytes and at most one descriptor, which takes the place of the one that was not used. As recv(2). */
ssize_t receive_with(int fd, void *bytes, size_t length, int *descriptor);

/* Whether no process but this one is left in the container. */
bool is_alone(void);

/* Terminates all processes of the container. */
void end_container(void);

#endif
