#include "notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t total;

static void remove_note(struct note *note) {
  total -= note->length;
  free(note->bytes);
  remove_object(&note->object);
}

/* The note, where there is one, is out of date now. */
static int refuse(struct note *note, int error) {
  if (note != NULL) remove_note(note);
  errno = error;
  return -1;
}

int keep_note(struct text name, struct text bytes) {
  struct note *note = find_object(OBJECT_NOTE, name);
  if (bytes.length == 0) {
    if (note != NULL) remove_note(note);
    return 0;
  }
  size_t former = note == NULL ? 0 : note->length;
  if (bytes.length > LARGEST_NOTE) return refuse(note, E2BIG);
  if (total - former + bytes.length > MOST_NOTE_BYTES) return refuse(note, ENOSPC);
  uint8_t *copy = malloc(bytes.length);
  if (copy == NULL) return refuse(note, ENOMEM);
  if (note == NULL) note = add_object(OBJECT_NOTE, name, sizeof *note);
  if (note == NULL) {
    free(copy);
    return -1;
  }
  memcpy(copy, bytes.bytes, bytes.length);
  free(note->bytes);
  note->bytes = copy;
  note->length = bytes.length;
  total = total - former + bytes.length;
  return 0;
}
