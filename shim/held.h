/* Listening sockets and FIFOs that the shim holds by name. */
#ifndef SHIM_HELD_H
#define SHIM_HELD_H

#include <sys/stat.h>
#include <sys/types.h>

#include "loop.h"
#include "table.h"

struct held {
  struct object object;
  int fd;
  char *path;
  /* The file that it was made as. */
  dev_t device;
  ino_t inode;
  bool nonblock;
  /* Whether a run has had it. */
  bool shared;
  /* A socket whose first client is waited for. */
  struct source source;
  uint64_t watch;
  bool watching, client;
};

/* How a socket or a FIFO is made. */
struct making {
  struct text name;
  struct text path;
  uid_t uid;
  gid_t gid;
  mode_t mode;
  int backlog;
  bool replace, nonblock;
};

/*
 * Listens at the path, or restores the accept queue of the socket that is held. NULL with errno: EEXIST where it is held
 * at another file.
 */
struct held *listen_at(const struct making *making, bool *is_new);

/* Makes the FIFO, or gives an existing one to its writer, and holds it open. NULL with errno as listen_at. */
struct held *hold_fifo(const struct making *making, bool *is_new);

/* Holds what another shim has opened, without a path. NULL with errno. */
struct held *take_held(enum object_kind kind, struct text name, int fd);

/* Opens the file of a held FIFO again. -1 with errno. */
int reopen_held(const struct held *held, int flags);

/* Waits for the first client of a socket. -1 with errno. */
int watch_client(struct held *socket, uint64_t number);
void unwatch_client(struct held *socket);

/* Number of the socket in sock_diag(7). */
uint64_t socket_inode(const struct held *socket);

/* Whether a program has shut it down. */
bool is_shut(const struct held *socket);

/* Whether clients wait to be accepted. */
bool is_queued(const struct held *socket);

/* Closes it and removes its file, if no other has replaced that. 0, or the errno of the removal. */
int close_held(struct held *held);

#endif
