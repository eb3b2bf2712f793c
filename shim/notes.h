/* Small texts that the shim keeps for its supervisor. */
#ifndef SHIM_NOTES_H
#define SHIM_NOTES_H

#include "table.h"

#define LARGEST_NOTE 16384
/* Bytes of all notes together. */
#define MOST_NOTE_BYTES (64u * 1024 * 1024)

struct note {
  struct object object;
  uint8_t *bytes;
  size_t length;
};

/* Keeps the bytes under a name, in place of earlier ones; no bytes remove it. -1 with errno: then none is kept. */
int keep_note(struct text name, struct text bytes);

#endif
