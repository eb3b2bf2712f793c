#include "plan.h"

#include <errno.h>
#include <string.h>

#include "test.h"

static uint8_t bytes[8192];
static struct writer writer;
static struct plan plan;

/* Begins a plan that is complete. */
static void begin(void) {
  writer = (struct writer){.bytes = bytes, .capacity = sizeof bytes};
  put_text(&writer, TAG_NAME, "amy/site");
  put_text(&writer, TAG_SHELL, "/bin/sh");
  put_text(&writer, TAG_START, "exec php-cgi");
  put_text(&writer, TAG_DIRECTORY, "/home/amy");
}

/* Reads what was put; whether it is a plan. errno says why not. */
static bool is_plan(void) {
  errno = 0;
  bool is_good = read_plan(read_fields(bytes, writer.length), &plan) == NULL;
  int error = errno;
  discard_plan(&plan);
  errno = error;
  return is_good;
}

static void put_account(void) {
  put_number(&writer, TAG_RUN_UID, 1001);
  put_number(&writer, TAG_RUN_GID, 1002);
}

static void put_descriptor(uint64_t target, uint64_t kind) {
  uint8_t value[16];
  for (int index = 0; index < 8; index++) {
    value[index] = (uint8_t)(target >> (8 * index));
    value[8 + index] = (uint8_t)(kind >> (8 * index));
  }
  put_bytes(&writer, TAG_DESCRIPTOR, value, sizeof value);
}

static void put_limit(uint64_t resource, uint64_t soft, uint64_t hard) {
  uint64_t numbers[] = {resource, soft, hard};
  uint8_t value[24];
  for (int index = 0; index < 24; index++) value[index] = (uint8_t)(numbers[index / 8] >> (8 * (index % 8)));
  put_bytes(&writer, TAG_RLIMIT, value, sizeof value);
}

static void complete_plan_is_read(void) {
  begin();
  put_account();
  put_number(&writer, TAG_GROUP, 7);
  put_text(&writer, TAG_VARIABLE, "A=b=c");
  put_text(&writer, TAG_WORD, "php-cgi");
  put_text(&writer, TAG_WORD, "");
  put_number(&writer, TAG_UMASK, 027);
  put_number(&writer, TAG_NICE, (uint64_t)INT64_C(-5));
  put_limit(RLIMIT_NOFILE, 10, RLIM_INFINITY);
  put_descriptor(0, DESCRIPTOR_SOCKET);
  put_number(&writer, TAG_READY_FD, 5);
  CHECK(read_plan(read_fields(bytes, writer.length), &plan) == NULL);
  CHECK(plan.name.length == 8 && strcmp(plan.shell, "/bin/sh") == 0 && strcmp(plan.directory, "/home/amy") == 0);
  CHECK(plan.becomes && plan.uid == 1001 && plan.gid == 1002 && plan.group_count == 1 && plan.groups[0] == 7);
  CHECK(plan.word_count == 2 && strcmp(plan.words[1], "") == 0 && plan.words[2] == NULL);
  CHECK(strcmp(plan.variables[0], "A=b=c") == 0 && plan.variables[1] == NULL);
  CHECK(plan.umask == 027 && plan.sets_nice && plan.nice == -5);
  CHECK(plan.limits[0].resource == RLIMIT_NOFILE && plan.limits[0].values.rlim_max == RLIM_INFINITY);
  CHECK(plan.descriptors[0].kind == DESCRIPTOR_SOCKET && plan.ready_fd == 5 && plan.lock_fd == -1);
  discard_plan(&plan);
}

static void incomplete_is_refused(void) {
  writer = (struct writer){.bytes = bytes, .capacity = sizeof bytes};
  CHECK(!is_plan());
  put_text(&writer, TAG_WORD, "x");
  CHECK(!is_plan());
  put_text(&writer, TAG_DIRECTORY, "/");
  CHECK(is_plan());
  put_text(&writer, TAG_SHELL, "/bin/sh");
  CHECK(!is_plan() && errno == EINVAL);
}

static void half_account_is_refused(void) {
  begin();
  put_number(&writer, TAG_RUN_UID, 1001);
  CHECK(!is_plan());
  begin();
  put_number(&writer, TAG_RUN_GID, 1001);
  CHECK(!is_plan());
  begin();
  put_number(&writer, TAG_GROUP, 1001);
  CHECK(!is_plan());
  begin();
  put_account();
  CHECK(is_plan());
  begin();
  put_number(&writer, TAG_RUN_UID, UINT32_MAX);
  put_number(&writer, TAG_RUN_GID, 1);
  CHECK(!is_plan());
  begin();
  put_number(&writer, TAG_RUN_UID, UINT64_C(0x100000000));
  put_number(&writer, TAG_RUN_GID, 1);
  CHECK(!is_plan());
}

static void capabilities_are_roots(void) {
  begin();
  put_account();
  put_number(&writer, TAG_KEEPS, 1);
  CHECK(!is_plan());
  begin();
  put_number(&writer, TAG_RUN_UID, 0);
  put_number(&writer, TAG_RUN_GID, 0);
  put_number(&writer, TAG_KEEPS, 1);
  CHECK(is_plan());
  put_text(&writer, TAG_JAIL, "/jail");
  put_number(&writer, TAG_JAIL_OWNER, 0);
  CHECK(!is_plan());
}

static void jail_has_owner_and_account(void) {
  begin();
  put_account();
  put_text(&writer, TAG_JAIL, "/jail");
  CHECK(!is_plan());
  put_number(&writer, TAG_JAIL_OWNER, 1001);
  CHECK(is_plan());
  begin();
  put_text(&writer, TAG_JAIL, "/jail");
  put_number(&writer, TAG_JAIL_OWNER, 1001);
  CHECK(!is_plan());
}

static void descriptors_are_distinct(void) {
  begin();
  put_descriptor(3, DESCRIPTOR_SOCKET);
  put_number(&writer, TAG_READY_FD, 3);
  CHECK(!is_plan());
  begin();
  put_text(&writer, TAG_LOCK, "/lock");
  CHECK(!is_plan());
  put_number(&writer, TAG_LOCK_FD, 9);
  CHECK(is_plan());
  put_number(&writer, TAG_READY_FD, 9);
  CHECK(!is_plan());
  begin();
  put_descriptor(TARGETS, DESCRIPTOR_FIFO);
  CHECK(!is_plan());
  begin();
  put_descriptor(1, DESCRIPTOR_INPUT + 1);
  CHECK(!is_plan());
}

static void unknown_field_is_refused(void) {
  begin();
  put_number(&writer, (enum tag)999, 1);
  CHECK(!is_plan() && errno == EPROTO);
}

static void wrong_values_are_refused(void) {
  static const struct {
    enum tag tag;
    const char *text;
    uint64_t number;
  } WRONG[] = {
      {TAG_DIRECTORY, "relative", 0}, {TAG_JAIL, "", 0},       {TAG_VARIABLE, "=x", 0}, {TAG_VARIABLE, "x", 0},
      {TAG_UMASK, NULL, 01000},       {TAG_NICE, NULL, 20},    {TAG_LISTEN_PID, NULL, 2},     {TAG_READY_FD, NULL, TARGETS},
      {TAG_DEATH_SIGNAL, NULL, 9999}, {TAG_UMASK, "short", 0}, {TAG_START, "", 0},
  };
  for (size_t index = 0; index < sizeof WRONG / sizeof *WRONG; index++) {
    begin();
    if (WRONG[index].text != NULL) put_text(&writer, WRONG[index].tag, WRONG[index].text);
    else put_number(&writer, WRONG[index].tag, WRONG[index].number);
    CHECK(!is_plan() && errno == EINVAL);
  }
  begin();
  put_bytes(&writer, TAG_WORD, "a\0b", 3);
  CHECK(!is_plan());
  begin();
  put_limit(RLIM_NLIMITS, 1, 1);
  CHECK(!is_plan());
  begin();
  put_limit(RLIMIT_CORE, 2, 1);
  CHECK(!is_plan());
}

static void lists_are_bounded(void) {
  begin();
  for (int index = 0; index < MOST_WORDS; index++) put_bytes(&writer, TAG_WORD, NULL, 0);
  CHECK(!writer.full && is_plan());
  put_bytes(&writer, TAG_WORD, NULL, 0);
  CHECK(!is_plan() && errno == E2BIG);
  begin();
  for (int index = 0; index <= MOST_DESCRIPTORS; index++) put_descriptor((uint64_t)index, DESCRIPTOR_FIFO);
  CHECK(!is_plan() && errno == E2BIG);
}

const struct test plan_tests[] = {
    {"A complete plan is read with all of its values", complete_plan_is_read},
    {"A plan without a program, a directory or a start for its shell is refused", incomplete_is_refused},
    {"A plan with a part of an account or an id beyond 32 bits is refused", half_account_is_refused},
    {"Only a plan of root outside of a jail keeps capabilities", capabilities_are_roots},
    {"A jail needs an owner and an account", jail_has_owner_and_account},
    {"Each descriptor of a program has a number that no other has", descriptors_are_distinct},
    {"A plan with a field that is unknown is refused as a whole", unknown_field_is_refused},
    {"A value outside of its range is refused", wrong_values_are_refused},
    {"Words and descriptors are bounded in number", lists_are_bounded},
    {NULL, NULL},
};
