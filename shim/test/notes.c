#include "notes.h"

#include <errno.h>
#include <string.h>

#include "test.h"

static uint8_t bytes[LARGEST_NOTE + 1];

static struct text text_of(const char *text) {
  return (struct text){(const uint8_t *)text, strlen(text)};
}

static void note_is_replaced_and_removed(void) {
  CHECK(keep_note(text_of("n"), text_of("one")) == 0);
  CHECK(keep_note(text_of("n"), text_of("second")) == 0);
  struct note *note = find_object(OBJECT_NOTE, text_of("n"));
  CHECK(note != NULL && note->length == 6 && memcmp(note->bytes, "second", 6) == 0);
  CHECK(keep_note(text_of("n"), (struct text){NULL, 0}) == 0);
  CHECK(find_object(OBJECT_NOTE, text_of("n")) == NULL);
  CHECK(keep_note(text_of("n"), (struct text){NULL, 0}) == 0);
  CHECK(next_object(0) == NULL);
}

static void notes_are_bounded(void) {
  CHECK(keep_note(text_of("n"), (struct text){bytes, LARGEST_NOTE}) == 0);
  errno = 0;
  CHECK(keep_note(text_of("n"), (struct text){bytes, LARGEST_NOTE + 1}) == -1 && errno == E2BIG);
  CHECK(find_object(OBJECT_NOTE, text_of("n")) == NULL);
  CHECK(keep_note(text_of(""), text_of("x")) == -1 && errno == EINVAL);
}

const struct test notes_tests[] = {
    {"A note replaces the one of its name, and no bytes remove it", note_is_replaced_and_removed},
    {"A note that is too long is refused, and the former one is removed", notes_are_bounded},
    {NULL, NULL},
};
