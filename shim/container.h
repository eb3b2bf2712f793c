/* Connections to the shims of containers: each is process 1 of its container (inside.h) and speaks the same protocol. */
#ifndef SHIM_CONTAINER_H
#define SHIM_CONTAINER_H

#include "held.h"
#include "loop.h"
#include "table.h"
#include "wire.h"

struct container {
  struct object object;
  struct source source;
  /* Its peer, by the kernel's word. */
  uid_t uid;
  pid_t pid;
  /* Whether it has closed the connection. */
  bool gone;
  /* The frame that is arriving; `full` once all of it is there. */
  uint8_t *input;
  size_t received;
  bool full;
  struct container *next_full;
  /* What it has not read yet. */
  uint8_t *output;
  size_t length;
};

/* Accepts a connection of a held socket. NULL with errno: EAGAIN where no client waits there. */
struct container *admit_container(struct text name, struct held *socket);

/*
 * Sends it a held socket, or another open file description of a held FIFO, in a TAKE. -1 with errno: EBUSY where it has not
 * read what was sent before.
 */
int give_held(struct container *container, struct held *held);

/* Sends it a frame without its length. -1 with errno: ENOBUFS where it has not read for too long. */
int forward_to(struct container *container, struct text frame);

/* Puts the frames that have arrived, as far as there is room for them. */
void put_forwarded(struct writer *writer);

/* Closes the connection: the shim of the container ends. */
void close_container(struct container *container);

#endif
