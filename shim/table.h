/* What the shim keeps: objects by kind and name, in the order in which they were made. */
#ifndef SHIM_TABLE_H
#define SHIM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define LONGEST_NAME 511
/* Objects of all kinds together. */
#define MOST_OBJECTS 262144

enum object_kind { OBJECT_RUN = 1, OBJECT_SOCKET = 2, OBJECT_FIFO = 3, OBJECT_NOTE = 4, OBJECT_CONTAINER = 5 };

/* The beginning of each object. */
struct object {
  enum object_kind kind;
  bool changed;
  /* Never used twice. */
  uint64_t identity;
  char *name;
  struct object *chain;
  struct object *before, *after;
  /* Neighbours in the list of changed objects. */
  struct object *changed_before, *changed_after;
};

/*
 * Adds a zeroed object of `size` bytes. NULL with errno: EEXIST, EINVAL for a name that is empty, too long or has NUL,
 * ENOSPC, ENOMEM.
 */
void *add_object(enum object_kind kind, struct text name, size_t size);

/* NULL with errno ENOENT where there is none. */
void *find_object(enum object_kind kind, struct text name);

/* Removes and frees it. */
void remove_object(struct object *object);

/* The first object that was made after the one of this identity. */
struct object *next_object(uint64_t identity);

/* Puts the object on the list of changed objects, where it is not on it. */
void mark_changed(struct object *object);

/* The object that changed first; NULL where none is on the list. */
struct object *first_changed(void);

void unmark_changed(struct object *object);

#endif
