#include "plan.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_PATH 4095
#define HIGHEST_ID 0xfffffffeu

static const char *wrong(int error, const char *problem) {
  errno = error;
  return problem;
}

/* A copy that ends in NUL. The arena has room for all texts of the request. */
static const char *keep(struct plan *plan, struct text value) {
  char *copy = plan->arena + plan->arena_used;
  if (value.length > 0) memcpy(copy, value.bytes, value.length);
  copy[value.length] = 0;
  plan->arena_used += value.length + 1;
  return copy;
}

static const char *add_text(struct plan *plan, struct text value, const char **list, size_t *count, size_t most) {
  if (!is_text(value, 0, LARGEST_FRAME)) return wrong(EINVAL, "a text has NUL");
  if (*count >= most) return wrong(E2BIG, "too many words or variables");
  list[(*count)++] = keep(plan, value);
  return NULL;
}

static const char *add_variable(struct plan *plan, struct text value, const char **list, size_t *count) {
  const uint8_t *sign = value.length == 0 ? NULL : memchr(value.bytes, '=', value.length);
  if (sign == NULL || sign == value.bytes) return wrong(EINVAL, "a variable is not NAME=value");
  return add_text(plan, value, list, count, MOST_VARIABLES);
}

static const char *set_text(struct plan *plan, struct text value, const char **place) {
  if (!is_text(value, 1, LARGEST_FRAME)) return wrong(EINVAL, "a text is empty or has NUL");
  *place = keep(plan, value);
  return NULL;
}

static const char *set_path(struct plan *plan, struct text value, const char **place) {
  if (!is_text(value, 1, LONGEST_PATH) || value.bytes[0] != '/') return wrong(EINVAL, "a path is not absolute");
  return set_text(plan, value, place);
}

/* Reads a number of at most `most`. */
static const char *number_to(struct text value, uint64_t most, uint64_t *number) {
  if (!as_number(value, number) || *number > most) return wrong(EINVAL, "a number is out of its range");
  return NULL;
}

static const char *set_int(struct text value, int most, int *place) {
  uint64_t number;
  const char *problem = number_to(value, (uint64_t)most, &number);
  if (problem == NULL) *place = (int)number;
  return problem;
}

static const char *set_flag(struct text value, bool *place) {
  uint64_t number;
  const char *problem = number_to(value, 1, &number);
  if (problem == NULL) *place = number == 1;
  return problem;
}

static const char *set_unsigned(struct text value, uint32_t most, uint32_t *place) {
  uint64_t number;
  const char *problem = number_to(value, most, &number);
  if (problem == NULL) *place = (uint32_t)number;
  return problem;
}

static const char *set_id(struct text value, uint32_t *place) {
  return set_unsigned(value, HIGHEST_ID, place);
}

static const char *add_group(struct plan *plan, struct text value) {
  if (plan->group_count >= MOST_GROUPS) return wrong(E2BIG, "too many groups");
  return set_id(value, &plan->groups[plan->group_count++]);
}

static const char *add_limit(struct plan *plan, struct text value) {
  if (plan->limit_count >= MOST_RLIMITS) return wrong(E2BIG, "too many limits");
  if (value.length != 24) return wrong(EINVAL, "a limit is not three numbers");
  uint64_t resource = number_at(value.bytes), soft = number_at(value.bytes + 8), hard = number_at(value.bytes + 16);
  if (resource >= RLIM_NLIMITS || soft > hard) return wrong(EINVAL, "a limit is out of its range");
  plan->limits[plan->limit_count++] = (struct limit){(int)resource, {(rlim_t)soft, (rlim_t)hard}};
  return NULL;
}

static const char *add_descriptor(struct plan *plan, struct text value) {
  if (plan->descriptor_count >= MOST_DESCRIPTORS) return wrong(E2BIG, "too many descriptors");
  if (value.length < 16) return wrong(EINVAL, "a descriptor has no target and kind");
  uint64_t target = number_at(value.bytes), kind = number_at(value.bytes + 8);
  if (target >= TARGETS || kind < DESCRIPTOR_SOCKET || kind > DESCRIPTOR_INPUT) return wrong(EINVAL, "a descriptor is out of its range");
  struct text name = {value.bytes + 16, value.length - 16};
  plan->descriptors[plan->descriptor_count++] = (struct descriptor){(int)target, (enum descriptor_kind)kind, name};
  return NULL;
}

static const char *set_nice(struct plan *plan, struct text value) {
  uint64_t number;
  if (!as_number(value, &number)) return wrong(EINVAL, "nice is not a number");
  int64_t nice = (int64_t)number;
  if (nice < -20 || nice > 19) return wrong(EINVAL, "nice is out of its range");
  plan->nice = (int)nice;
  plan->sets_nice = true;
  return NULL;
}

static const char *take(struct plan *plan, const struct field *field) {
  struct text value = field->value;
  switch (field->tag) {
    case TAG_NAME: plan->name = value; return NULL;
    case TAG_WORD: return add_text(plan, value, plan->words, &plan->word_count, MOST_WORDS);
    case TAG_VARIABLE: return add_variable(plan, value, plan->variables, &plan->variable_count);
    case TAG_READER_WORD: return add_text(plan, value, plan->reader_words, &plan->reader_word_count, MOST_WORDS);
    case TAG_READER_VARIABLE: return add_variable(plan, value, plan->reader_variables, &plan->reader_variable_count);
    case TAG_SHELL: return set_path(plan, value, &plan->shell);
    case TAG_START: return set_text(plan, value, &plan->start);
    case TAG_DIRECTORY: return set_path(plan, value, &plan->directory);
    case TAG_CGROUP: return set_path(plan, value, &plan->cgroup);
    case TAG_LOCK: return set_path(plan, value, &plan->lock);
    case TAG_JAIL: return set_path(plan, value, &plan->jail);
    case TAG_NOTIFY: return set_path(plan, value, &plan->notify);
    case TAG_UMASK: return set_unsigned(value, 0777, &plan->umask);
    case TAG_NICE: return set_nice(plan, value);
    case TAG_RUN_UID: plan->becomes = true; return set_id(value, &plan->uid);
    case TAG_RUN_GID: return set_id(value, &plan->gid);
    case TAG_GROUP: return add_group(plan, value);
    case TAG_KEEPS: return set_flag(value, &plan->keeps);
    case TAG_LOCK_FD: return set_int(value, TARGETS - 1, &plan->lock_fd);
    case TAG_JAIL_OWNER: return set_id(value, &plan->jail_owner);
    case TAG_RLIMIT: return add_limit(plan, value);
    case TAG_DESCRIPTOR: return add_descriptor(plan, value);
    case TAG_READY_FD: return set_int(value, TARGETS - 1, &plan->ready_fd);
    case TAG_DEATH_SIGNAL: return set_int(value, SIGRTMAX, &plan->death_signal);
    case TAG_AGAIN: return set_unsigned(value, UINT32_MAX, &plan->again);
    case TAG_LISTEN_PID: return set_flag(value, &plan->listen_pid);
    /* A plan that says more than this program understands must not lose what it says: it could be a limit. */
    default: return wrong(EPROTO, "a field is unknown");
  }
}

/* What single fields do not show. A plan that forgets an identity would run a tenant's program as root. */
static const char *check(const struct plan *plan) {
  bool has_gid = plan->gid != (gid_t)-1;
  if (plan->becomes != has_gid) return wrong(EINVAL, "an account has a uid and a gid");
  if (!plan->becomes && plan->group_count > 0) return wrong(EINVAL, "groups belong to an account");
  if (plan->keeps && (plan->uid != 0 || plan->jail != NULL)) return wrong(EINVAL, "only root keeps capabilities");
  if (plan->jail != NULL && plan->jail_owner == (uid_t)-1) return wrong(EINVAL, "a jail has an owner");
  if (plan->jail != NULL && !plan->becomes) return wrong(EINVAL, "a jail needs an account");
  if ((plan->lock != NULL) != (plan->lock_fd >= 0)) return wrong(EINVAL, "a lock has a path and a descriptor");
  if ((plan->shell != NULL) != (plan->start != NULL)) return wrong(EINVAL, "a shell has a start");
  if (plan->word_count == 0 && plan->start == NULL) return wrong(EINVAL, "there is no program");
  if (plan->directory == NULL) return wrong(EINVAL, "there is no directory");
  uint64_t taken = 0;
  int targets[MOST_DESCRIPTORS + 2];
  size_t count = 0;
  for (size_t index = 0; index < plan->descriptor_count; index++) targets[count++] = plan->descriptors[index].target;
  if (plan->lock_fd >= 0) targets[count++] = plan->lock_fd;
  if (plan->ready_fd >= 0) targets[count++] = plan->ready_fd;
  for (size_t index = 0; index < count; index++) {
    uint64_t bit = UINT64_C(1) << targets[index];
    if (taken & bit) return wrong(EINVAL, "two descriptors have one number");
    taken |= bit;
  }
  return NULL;
}

const char *read_plan(struct reader fields, struct plan *plan) {
  memset(plan, 0, offsetof(struct plan, variables));
  plan->gid = (gid_t)-1;
  plan->jail_owner = (uid_t)-1;
  plan->lock_fd = plan->ready_fd = -1;
  plan->umask = 022;
  /* A field has six bytes beside its text, and a text needs one. */
  plan->arena = malloc((size_t)(fields.end - fields.at) + 1);
  if (plan->arena == NULL) return wrong(ENOMEM, "no memory for the plan");
  struct field field;
  int more;
  while ((more = next_field(&fields, &field)) == 1) {
    const char *problem = take(plan, &field);
    if (problem != NULL) return problem;
  }
  plan->variables[plan->variable_count] = plan->reader_variables[plan->reader_variable_count] = NULL;
  return more < 0 ? wrong(EINVAL, "the fields are malformed") : check(plan);
}

void discard_plan(struct plan *plan) {
  free(plan->arena);
  plan->arena = NULL;
}
