/* What clients learn of objects. */
#ifndef SHIM_EVENTS_H
#define SHIM_EVENTS_H

#include "table.h"
#include "wire.h"

/* Bytes of the description of one object, at most. */
#define LARGEST_DESCRIPTION (24 * 1024)

/* Puts the fields of an object. */
void describe_object(struct writer *writer, const struct object *object);

/* A connection for events begins: each run and each socket that is waited for counts as changed. */
void begin_events(void);

/*
 * Puts a frame for each changed object: its state now, so that nothing has to be kept for a client that does not read.
 */
void put_events(struct writer *writer);

#endif
