#include "wire.h"

#include <string.h>

struct reader read_fields(const void *bytes, size_t length) {
  const uint8_t *begin = bytes;
  return (struct reader){begin, begin + length};
}

uint32_t length_at(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint64_t number_at(const uint8_t *bytes) {
  return (uint64_t)length_at(bytes) | (uint64_t)length_at(bytes + 4) << 32;
}

int next_field(struct reader *reader, struct field *field) {
  size_t left = (size_t)(reader->end - reader->at);
  if (left == 0) return 0;
  if (left < FIELD_HEAD) return -1;
  uint32_t length = length_at(reader->at + 2);
  if (length > left - FIELD_HEAD) return -1;
  field->tag = (uint16_t)(reader->at[0] | reader->at[1] << 8);
  field->value = (struct text){reader->at + FIELD_HEAD, length};
  reader->at += FIELD_HEAD + length;
  return 1;
}

bool as_number(struct text value, uint64_t *number) {
  if (value.length != 8) return false;
  *number = number_at(value.bytes);
  return true;
}

bool is_text(struct text value, size_t least, size_t most) {
  if (value.length < least || value.length > most) return false;
  return value.length == 0 || memchr(value.bytes, 0, value.length) == NULL;
}

static void put_raw(struct writer *writer, const void *bytes, size_t length) {
  if (writer->full || length > writer->capacity - writer->length) {
    writer->full = true;
    return;
  }
  if (length > 0) memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

static void store_length(uint8_t *at, size_t length) {
  for (int index = 0; index < 4; index++) at[index] = (uint8_t)(length >> (8 * index));
}

static void put_head(struct writer *writer, enum tag tag, size_t length) {
  uint8_t head[FIELD_HEAD] = {(uint8_t)((unsigned)tag & 0xff), (uint8_t)((unsigned)tag >> 8)};
  store_length(head + 2, length);
  put_raw(writer, head, sizeof head);
}

size_t begin_frame(struct writer *writer, enum kind kind) {
  size_t begin = writer->length;
  uint8_t head[FRAME_HEAD + 1] = {[FRAME_HEAD] = (uint8_t)kind};
  put_raw(writer, head, sizeof head);
  return begin;
}

void end_frame(struct writer *writer, size_t begin) {
  if (!writer->full) store_length(writer->bytes + begin, writer->length - begin - FRAME_HEAD);
}

size_t begin_item(struct writer *writer) {
  size_t begin = writer->length;
  put_head(writer, TAG_ITEM, 0);
  return begin;
}

void end_item(struct writer *writer, size_t begin) {
  if (!writer->full) store_length(writer->bytes + begin + 2, writer->length - begin - FIELD_HEAD);
}

void put_bytes(struct writer *writer, enum tag tag, const void *bytes, size_t length) {
  size_t before = writer->length;
  put_head(writer, tag, length);
  put_raw(writer, bytes, length);
  if (writer->full) writer->length = before;
}

void put_number(struct writer *writer, enum tag tag, uint64_t number) {
  uint8_t bytes[8];
  for (int index = 0; index < 8; index++) bytes[index] = (uint8_t)(number >> (8 * index));
  put_bytes(writer, tag, bytes, sizeof bytes);
}

void put_text(struct writer *writer, enum tag tag, const char *text) {
  put_bytes(writer, tag, text, strlen(text));
}
