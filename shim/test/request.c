#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "notes.h"
#include "table.h"
#include "test.h"

static uint8_t request_bytes[65536], reply_bytes[LARGEST_REPLY];
static struct writer request, reply;
static struct session session = {.descriptor = -1};

static void begin(enum kind kind) {
  request = (struct writer){.bytes = request_bytes, .capacity = sizeof request_bytes};
  begin_frame(&request, kind);
}

/* Sends the request; returns the errno of the reply, or -1 for a malformed one. */
static int send_request(void) {
  reply = (struct writer){.bytes = reply_bytes, .capacity = sizeof reply_bytes};
  answer(&session, request_bytes + FRAME_HEAD, request.length - FRAME_HEAD, &reply);
  CHECK(!reply.full && reply_bytes[FRAME_HEAD] == KIND_REPLY);
  CHECK(length_at(reply_bytes) == reply.length - FRAME_HEAD);
  struct reader fields = read_fields(reply_bytes + FRAME_HEAD + 1, reply.length - FRAME_HEAD - 1);
  struct field field;
  int error = -1, more;
  while ((more = next_field(&fields, &field)) == 1)
    if (field.tag == TAG_ERRNO) error = (int)number_at(field.value.bytes);
  CHECK(more == 0);
  return error;
}

/* The number of the reply's first field with this tag; UINT64_MAX where there is none. */
static uint64_t replied(enum tag tag) {
  struct reader fields = read_fields(reply_bytes + FRAME_HEAD + 1, reply.length - FRAME_HEAD - 1);
  struct field field;
  while (next_field(&fields, &field) == 1)
    if (field.tag == tag && field.value.length == 8) return number_at(field.value.bytes);
  return UINT64_MAX;
}

static int greet(const char *magic, uint64_t lowest, uint64_t highest) {
  session = (struct session){.descriptor = -1};
  begin(KIND_HELLO);
  put_text(&request, TAG_MAGIC, magic);
  put_number(&request, TAG_LOWEST, lowest);
  put_number(&request, TAG_HIGHEST, highest);
  return send_request();
}

static void versions_are_negotiated(void) {
  CHECK(greet(WIRE_MAGIC, 1, 7) == 0 && replied(TAG_VERSION) == WIRE_HIGHEST && session.greeted);
  CHECK(greet(WIRE_MAGIC, WIRE_HIGHEST + 1, WIRE_HIGHEST + 2) == EPROTONOSUPPORT && !session.greeted);
  CHECK(replied(TAG_LOWEST) == WIRE_LOWEST && replied(TAG_HIGHEST) == WIRE_HIGHEST);
  CHECK(greet("dmhost-shin", 1, 1) == EPROTO && !session.greeted);
  CHECK(greet("dmhost-shim2", 1, 1) == EPROTO && !session.greeted);
  CHECK(greet("", 1, 1) == EPROTO && !session.greeted);
}

static void hello_comes_first(void) {
  session = (struct session){.descriptor = -1};
  begin(KIND_SHUTDOWN);
  CHECK(send_request() == EPROTO && !session.ends);
}

static void requests_are_checked(void) {
  greet(WIRE_MAGIC, 1, 1);
  begin((enum kind)99);
  CHECK(send_request() == ENOSYS);
  begin(KIND_REPLY);
  CHECK(send_request() == ENOSYS);
  begin(KIND_FORGET);
  CHECK(send_request() == EINVAL);
  begin(KIND_FORGET);
  put_text(&request, TAG_NAME, "nobody");
  CHECK(send_request() == ENOENT);
  put_text(&request, TAG_NAME, "nobody");
  CHECK(send_request() == EINVAL);
  begin(KIND_FORGET);
  put_text(&request, TAG_NAME, "nobody");
  put_number(&request, TAG_WATCH, 9);
  CHECK(send_request() == EPROTO);
  begin(KIND_WATCH);
  put_text(&request, TAG_NAME, "nobody");
  put_text(&request, TAG_WATCH, "9");
  CHECK(send_request() == EINVAL);
  begin(KIND_AGAIN);
  put_text(&request, TAG_NAME, "nobody");
  put_number(&request, TAG_AGAIN, 100);
  CHECK(send_request() == ENOENT);
  begin(KIND_LIST);
  put_text(&request, (enum tag)0, "x");
  CHECK(send_request() == EPROTO);
}

static int note(const char *name, const void *bytes, size_t length) {
  begin(KIND_NOTE);
  put_text(&request, TAG_NAME, name);
  put_bytes(&request, TAG_BYTES, bytes, length);
  return send_request();
}

static void list_is_complete(void) {
  enum { MANY = 40 };
  static uint8_t bytes[LARGEST_NOTE];
  char name[32];
  greet(WIRE_MAGIC, 1, 1);
  for (int index = 0; index < MANY; index++) {
    snprintf(name, sizeof name, "note %d", index);
    CHECK(note(name, bytes, sizeof bytes) == 0);
  }
  uint64_t after = 0;
  int items = 0, pages = 0;
  do {
    begin(KIND_LIST);
    put_number(&request, TAG_AFTER, after);
    CHECK(send_request() == 0);
    struct reader fields = read_fields(reply_bytes + FRAME_HEAD + 1, reply.length - FRAME_HEAD - 1);
    struct field field;
    while (next_field(&fields, &field) == 1) items += field.tag == TAG_ITEM;
    after = replied(TAG_AFTER);
    pages++;
  } while (after != UINT64_MAX && pages < MANY);
  CHECK(items == MANY && pages > 1);
  for (int index = 0; index < MANY; index++) {
    snprintf(name, sizeof name, "note %d", index);
    CHECK(note(name, NULL, 0) == 0);
  }
  CHECK(next_object(0) == NULL);
}

static void empty_frame_is_refused(void) {
  greet(WIRE_MAGIC, 1, 1);
  begin(KIND_LIST);
  request.length = FRAME_HEAD;
  CHECK(send_request() == EPROTO);
}

static void plan_without_account_is_refused(void) {
  greet(WIRE_MAGIC, 1, 1);
  begin(KIND_LAUNCH);
  put_text(&request, TAG_NAME, "run");
  put_text(&request, TAG_WORD, "x");
  CHECK(send_request() == EINVAL && next_object(0) == NULL);
}

const struct test request_tests[] = {
    {"HELLO agrees on the highest version that both speak, and names ours where there is none", versions_are_negotiated},
    {"No request is performed before HELLO", hello_comes_first},
    {"A request with a field that is unknown, missing, doubled or of a wrong form is refused", requests_are_checked},
    {"LIST returns each object once, in replies of bounded size", list_is_complete},
    {"A frame without a kind is refused", empty_frame_is_refused},
    {"A plan that lacks something leaves no run behind", plan_without_account_is_refused},
    {NULL, NULL},
};
