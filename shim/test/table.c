#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "test.h"

static struct text text_of(const char *text) {
  return (struct text){(const uint8_t *)text, strlen(text)};
}

static struct object *add(const char *name) {
  return add_object(OBJECT_NOTE, text_of(name), sizeof(struct object));
}

static void names_are_unique_by_kind(void) {
  struct object *note = add("one");
  struct object *run = add_object(OBJECT_RUN, text_of("one"), sizeof(struct object));
  CHECK(note != NULL && run != NULL && note != run);
  CHECK(find_object(OBJECT_NOTE, text_of("one")) == note);
  CHECK(find_object(OBJECT_RUN, text_of("one")) == run);
  errno = 0;
  CHECK(add("one") == NULL && errno == EEXIST);
  CHECK(find_object(OBJECT_SOCKET, text_of("one")) == NULL && errno == ENOENT);
  remove_object(note);
  CHECK(find_object(OBJECT_NOTE, text_of("one")) == NULL);
  remove_object(run);
  CHECK(next_object(0) == NULL);
}

static void many_are_found(void) {
  enum { MANY = 3000 };
  char name[32];
  for (int index = 0; index < MANY; index++) {
    snprintf(name, sizeof name, "n%d", index);
    CHECK(add(name) != NULL);
  }
  for (int index = 0; index < MANY; index += 2) {
    snprintf(name, sizeof name, "n%d", index);
    remove_object(find_object(OBJECT_NOTE, text_of(name)));
  }
  int found = 0;
  uint64_t last = 0;
  for (struct object *each = next_object(0); each != NULL; each = next_object(last)) {
    CHECK(each->identity > last);
    last = each->identity;
    snprintf(name, sizeof name, "n%d", found * 2 + 1);
    CHECK(strcmp(each->name, name) == 0);
    found++;
  }
  CHECK(found == MANY / 2);
  for (struct object *each; (each = next_object(0)) != NULL;) remove_object(each);
  CHECK(next_object(0) == NULL);
}

static void names_are_bounded(void) {
  char name[LONGEST_NAME + 2];
  memset(name, 'x', sizeof name);
  struct object *longest = add_object(OBJECT_NOTE, (struct text){(uint8_t *)name, LONGEST_NAME}, sizeof *longest);
  CHECK(longest != NULL);
  errno = 0;
  CHECK(add_object(OBJECT_NOTE, (struct text){(uint8_t *)name, LONGEST_NAME + 1}, sizeof *longest) == NULL);
  CHECK(errno == EINVAL);
  CHECK(add("") == NULL);
  CHECK(add_object(OBJECT_NOTE, (struct text){(const uint8_t *)"a\0b", 3}, sizeof *longest) == NULL);
  remove_object(longest);
}

static void changes_are_queued_once(void) {
  struct object *one = add("one"), *two = add("two"), *three = add("three");
  mark_changed(two);
  mark_changed(one);
  mark_changed(two);
  mark_changed(three);
  CHECK(first_changed() == two);
  unmark_changed(one);
  unmark_changed(one);
  unmark_changed(two);
  CHECK(first_changed() == three);
  remove_object(three);
  CHECK(first_changed() == NULL);
  mark_changed(one);
  CHECK(first_changed() == one);
  remove_object(one);
  remove_object(two);
}

const struct test table_tests[] = {
    {"A name is unique among objects of its kind", names_are_unique_by_kind},
    {"Thousands of objects are found and listed in the order in which they were made", many_are_found},
    {"A name that is empty, too long or has NUL is refused", names_are_bounded},
    {"An object that changes twice is on the list of changed objects once", changes_are_queued_once},
    {NULL, NULL},
};
