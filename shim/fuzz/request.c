/* Feeds requests to the shim: the input is what a supervisor could send, and the machine behind it is fake. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "events.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void require(bool holds) {
  if (!holds) abort();
}

/* Whether the bytes are frames of fields. */
static bool are_frames(const struct writer *writer) {
  for (size_t at = 0; at < writer->length;) {
    if (writer->length - at < FRAME_HEAD + 1) return false;
    size_t length = length_at(writer->bytes + at);
    if (length < 1 || length > writer->length - at - FRAME_HEAD) return false;
    struct reader fields = read_fields(writer->bytes + at + FRAME_HEAD + 1, length - 1);
    struct field field;
    int more;
    while ((more = next_field(&fields, &field)) == 1) continue;
    if (more < 0) return false;
    at += FRAME_HEAD + length;
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  static uint8_t bytes[LARGEST_REPLY];
  struct session session = {.greeted = size > 0 && input[0] % 2 == 0, .descriptor = -1};
  begin_events();
  for (size_t at = 1; at + FRAME_HEAD <= size;) {
    size_t length = length_at(input + at) % 4096;
    if (length > size - at - FRAME_HEAD) length = size - at - FRAME_HEAD;
    struct writer reply = {.bytes = bytes, .capacity = sizeof bytes};
    /* A copy of its exact size, so that reading beyond it is noticed. */
    uint8_t *frame = malloc(length + 1);
    require(frame != NULL);
    memcpy(frame, input + at + FRAME_HEAD, length);
    uint8_t *exact = realloc(frame, length > 0 ? length : 1);
    answer(&session, exact, length, &reply);
    free(exact);
    require(!reply.full && are_frames(&reply));
    reply.length = 0;
    put_events(&reply);
    require(!reply.full && are_frames(&reply));
    at += FRAME_HEAD + length;
  }
  for (struct object *each; (each = next_object(0)) != NULL;) {
    if (each->kind == OBJECT_NOTE) {
      struct text name = {(uint8_t *)each->name, strlen(each->name)};
      struct session end = {.greeted = true, .descriptor = -1};
      struct writer request = {.bytes = bytes, .capacity = sizeof bytes};
      begin_frame(&request, KIND_NOTE);
      put_bytes(&request, TAG_NAME, name.bytes, name.length);
      uint8_t answered[256];
      struct writer reply = {.bytes = answered, .capacity = sizeof answered};
      answer(&end, bytes + FRAME_HEAD, request.length - FRAME_HEAD, &reply);
    } else {
      remove_object(each);
    }
  }
  require(next_object(0) == NULL && first_changed() == NULL);
  return 0;
}
