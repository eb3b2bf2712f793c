#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEWEST_CHAINS 256

static struct object **chains;
static size_t chain_count;
static size_t object_count;
static uint64_t last_identity;
static struct object *oldest, *newest;
static struct object *first_of_changed, *last_of_changed;

/* FNV-1a. All names come from the supervisor. */
static size_t hash_of(enum object_kind kind, const uint8_t *name, size_t length) {
  uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)kind;
  for (size_t index = 0; index < length; index++) hash = (hash ^ name[index]) * 0x100000001b3u;
  return (size_t)(hash ^ hash >> 32);
}

static struct object **chain_of(const struct object *object) {
  const uint8_t *name = (const uint8_t *)object->name;
  return &chains[hash_of(object->kind, name, strlen(object->name)) & (chain_count - 1)];
}

static void link_chain(struct object *object) {
  struct object **chain = chain_of(object);
  object->chain = *chain;
  *chain = object;
}

/* Keeps chains short. Where memory is short, they stay long. */
static bool grow(void) {
  size_t wanted = chain_count == 0 ? FEWEST_CHAINS : chain_count * 2;
  struct object **wider = calloc(wanted, sizeof *wider);
  if (wider == NULL) return chain_count > 0;
  free(chains);
  chains = wider;
  chain_count = wanted;
  for (struct object *each = oldest; each != NULL; each = each->after) link_chain(each);
  return true;
}

void *find_object(enum object_kind kind, struct text name) {
  if (chain_count > 0) {
    struct object *each = chains[hash_of(kind, name.bytes, name.length) & (chain_count - 1)];
    for (; each != NULL; each = each->chain) {
      bool same = each->kind == kind && strlen(each->name) == name.length;
      if (same && memcmp(each->name, name.bytes, name.length) == 0) return each;
    }
  }
  errno = ENOENT;
  return NULL;
}

static struct object *refuse(int error) {
  errno = error;
  return NULL;
}

void *add_object(enum object_kind kind, struct text name, size_t size) {
  if (!is_text(name, 1, LONGEST_NAME)) return refuse(EINVAL);
  if (find_object(kind, name) != NULL) return refuse(EEXIST);
  if (object_count >= MOST_OBJECTS) return refuse(ENOSPC);
  if (object_count >= chain_count && !grow()) return refuse(ENOMEM);
  struct object *object = calloc(1, size);
  char *copy = malloc(name.length + 1);
  if (object == NULL || copy == NULL) {
    free(object);
    free(copy);
    return refuse(ENOMEM);
  }
  memcpy(copy, name.bytes, name.length);
  copy[name.length] = 0;
  object->kind = kind;
  object->name = copy;
  object->identity = ++last_identity;
  object->before = newest;
  if (newest != NULL) newest->after = object;
  else oldest = object;
  newest = object;
  object_count++;
  link_chain(object);
  return object;
}

void remove_object(struct object *object) {
  unmark_changed(object);
  struct object **chain = chain_of(object);
  while (*chain != object) chain = &(*chain)->chain;
  *chain = object->chain;
  *(object->before != NULL ? &object->before->after : &oldest) = object->after;
  *(object->after != NULL ? &object->after->before : &newest) = object->before;
  object_count--;
  free(object->name);
  free(object);
}

struct object *next_object(uint64_t identity) {
  struct object *each = oldest;
  while (each != NULL && each->identity <= identity) each = each->after;
  return each;
}

void mark_changed(struct object *object) {
  if (object->changed) return;
  object->changed = true;
  object->changed_before = last_of_changed;
  object->changed_after = NULL;
  *(last_of_changed != NULL ? &last_of_changed->changed_after : &first_of_changed) = object;
  last_of_changed = object;
}

struct object *first_changed(void) {
  return first_of_changed;
}

void unmark_changed(struct object *object) {
  if (!object->changed) return;
  struct object *before = object->changed_before, *after = object->changed_after;
  *(before != NULL ? &before->changed_after : &first_of_changed) = after;
  *(after != NULL ? &after->changed_before : &last_of_changed) = before;
  object->changed = false;
}
