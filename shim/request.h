/* Requests of a supervisor and the replies to them. */
#ifndef SHIM_REQUEST_H
#define SHIM_REQUEST_H

#include "wire.h"

/* A connection as requests see it. */
struct session {
  /* Whether HELLO has agreed on a version. */
  bool greeted;
  /* Whether it gets events instead of replies from now on. */
  bool events;
  /* Whether the shim is to end once the reply is sent. */
  bool ends;
  /* That came with a TAKE; -1 for none. */
  int descriptor;
};

/* Directory of the cgroups that belong to this shim; NULL: it has none. */
extern const char *tree;

/* Bytes of a reply, at most. */
#define LARGEST_REPLY (128 * 1024)

/*
 * Performs a request and puts the reply.
 * @param frame the bytes of a frame after its length
 */
void answer(struct session *session, const uint8_t *frame, size_t length, struct writer *reply);

#endif
