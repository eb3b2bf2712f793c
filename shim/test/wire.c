#include "wire.h"

#include <string.h>

#include "test.h"

static uint8_t bytes[256];

static struct writer begin(size_t capacity) {
  memset(bytes, 0xee, sizeof bytes);
  return (struct writer){.bytes = bytes, .capacity = capacity};
}

static void frame_is_read_back(void) {
  struct writer writer = begin(sizeof bytes);
  size_t frame = begin_frame(&writer, KIND_REPLY);
  put_number(&writer, TAG_PID, UINT64_C(0xfedcba9876543210));
  put_text(&writer, TAG_NAME, "amy/site");
  end_frame(&writer, frame);
  CHECK(!writer.full);
  CHECK(length_at(bytes) == writer.length - FRAME_HEAD);
  CHECK(bytes[FRAME_HEAD] == KIND_REPLY);
  struct reader reader = read_fields(bytes + FRAME_HEAD + 1, writer.length - FRAME_HEAD - 1);
  struct field field;
  uint64_t number = 0;
  CHECK(next_field(&reader, &field) == 1);
  CHECK(field.tag == TAG_PID && as_number(field.value, &number) && number == UINT64_C(0xfedcba9876543210));
  CHECK(next_field(&reader, &field) == 1);
  CHECK(field.tag == TAG_NAME && field.value.length == 8 && memcmp(field.value.bytes, "amy/site", 8) == 0);
  CHECK(next_field(&reader, &field) == 0);
}

static void item_holds_fields(void) {
  struct writer writer = begin(sizeof bytes);
  size_t item = begin_item(&writer);
  put_number(&writer, TAG_UID, 5);
  end_item(&writer, item);
  struct reader reader = read_fields(bytes, writer.length);
  struct field field;
  CHECK(next_field(&reader, &field) == 1 && field.tag == TAG_ITEM && field.value.length == FIELD_HEAD + 8);
  reader = read_fields(field.value.bytes, field.value.length);
  CHECK(next_field(&reader, &field) == 1 && field.tag == TAG_UID && number_at(field.value.bytes) == 5);
}

static void malformed_is_refused(void) {
  static const uint8_t cut[] = {8, 0, 5, 0, 0, 0, 'a', 'b'};
  static const uint8_t huge[] = {8, 0, 0xff, 0xff, 0xff, 0xff, 'a'};
  struct field field;
  for (size_t length = 1; length <= sizeof cut; length++) {
    struct reader reader = read_fields(cut, length);
    CHECK(next_field(&reader, &field) == -1);
  }
  struct reader reader = read_fields(huge, sizeof huge);
  CHECK(next_field(&reader, &field) == -1);
}

static void full_writer_leaves_out(void) {
  struct writer writer = begin(20);
  put_number(&writer, TAG_UID, 1);
  size_t before = writer.length;
  put_number(&writer, TAG_GID, 2);
  CHECK(writer.full && writer.length == before);
  CHECK(bytes[20] == 0xee);
}

static void values_are_checked(void) {
  uint64_t number;
  CHECK(!as_number((struct text){bytes, 7}, &number));
  CHECK(!as_number((struct text){bytes, 9}, &number));
  CHECK(is_text((struct text){NULL, 0}, 0, 4));
  CHECK(!is_text((struct text){NULL, 0}, 1, 4));
  CHECK(!is_text((struct text){(const uint8_t *)"a\0b", 3}, 1, 4));
  CHECK(!is_text((struct text){(const uint8_t *)"abcde", 5}, 1, 4));
}

const struct test wire_tests[] = {
    {"A frame is read back as it was written", frame_is_read_back},
    {"An item holds fields", item_holds_fields},
    {"A field that is longer than its frame is refused", malformed_is_refused},
    {"A full writer leaves a field out and writes nothing beyond its end", full_writer_leaves_out},
    {"Numbers have eight bytes, and text has no NUL and a bounded length", values_are_checked},
    {NULL, NULL},
};
