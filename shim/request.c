#define _GNU_SOURCE
#include "request.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "again.h"
#include "container.h"
#include "events.h"
#include "held.h"
#include "inside.h"
#include "notes.h"
#include "runs.h"

/* Tags of requests other than LAUNCH are below this. */
#define TAGS 64
#define LONGEST_MAGIC 32
#define LARGEST_ID 0xfffffffeu
#define LARGEST_SIGNAL 64

/* The fields of a request, by tag; absent ones have no bytes. */
struct request {
  struct text values[TAGS];
  /* All fields, for LAUNCH. */
  struct reader fields;
};

/* What a handler needs. It returns 0 or an errno, with `detail` for that. */
struct exchange {
  struct session *session;
  const struct request *request;
  struct writer *reply;
  const char *detail;
};

static int failed(struct exchange *exchange, int error, const char *detail) {
  exchange->detail = detail;
  return error;
}

static struct text value_of(const struct exchange *exchange, enum tag tag) {
  return exchange->request->values[tag];
}

/* The number of a field, which was checked. */
static uint64_t number_of(const struct exchange *exchange, enum tag tag) {
  struct text value = value_of(exchange, tag);
  return value.bytes == NULL ? 0 : number_at(value.bytes);
}

const char *tree;

static int greet(struct exchange *exchange) {
  struct text magic = value_of(exchange, TAG_MAGIC);
  bool is_ours = magic.length == strlen(WIRE_MAGIC) && memcmp(magic.bytes, WIRE_MAGIC, magic.length) == 0;
  if (!is_ours) return failed(exchange, EPROTO, "another protocol");
  uint64_t lowest = number_of(exchange, TAG_LOWEST), highest = number_of(exchange, TAG_HIGHEST);
  if (lowest > WIRE_HIGHEST || highest < WIRE_LOWEST) return failed(exchange, EPROTONOSUPPORT, "no common version");
  put_number(exchange->reply, TAG_VERSION, highest < WIRE_HIGHEST ? highest : WIRE_HIGHEST);
  put_number(exchange->reply, TAG_PID, (uint64_t)getpid());
  if (tree != NULL) put_text(exchange->reply, TAG_TREE, tree);
  put_number(exchange->reply, TAG_EDITION, EDITION);
  exchange->session->greeted = true;
  exchange->session->events = number_of(exchange, TAG_EVENTS) == 1;
  return 0;
}

static int list(struct exchange *exchange) {
  struct writer *reply = exchange->reply;
  struct object *each = next_object(number_of(exchange, TAG_AFTER));
  uint64_t last = 0;
  for (; each != NULL && LARGEST_REPLY - reply->length >= LARGEST_DESCRIPTION; each = each->after) {
    size_t begin = begin_item(reply);
    describe_object(reply, each);
    end_item(reply, begin);
    last = each->identity;
  }
  if (each != NULL) put_number(reply, TAG_AFTER, last);
  return 0;
}

static int make(struct exchange *exchange, struct held *making(const struct making *, bool *)) {
  uint64_t uid = number_of(exchange, TAG_UID), gid = number_of(exchange, TAG_GID), mode = number_of(exchange, TAG_MODE);
  uint64_t backlog = number_of(exchange, TAG_BACKLOG);
  if (uid > LARGEST_ID || gid > LARGEST_ID || mode > 0777 || backlog > INT32_MAX)
    return failed(exchange, EINVAL, "a number is out of its range");
  struct making how = {
      .name = value_of(exchange, TAG_NAME),
      .path = value_of(exchange, TAG_PATH),
      .uid = (uid_t)uid,
      .gid = (gid_t)gid,
      .mode = (mode_t)mode,
      .backlog = (int)backlog,
      .replace = number_of(exchange, TAG_REPLACE) == 1,
      .nonblock = number_of(exchange, TAG_NONBLOCK) == 1,
  };
  bool is_new;
  struct held *held = making(&how, &is_new);
  if (held == NULL) return failed(exchange, errno, "it cannot be made");
  describe_object(exchange->reply, &held->object);
  put_number(exchange->reply, TAG_NEW, is_new);
  return 0;
}

static int listen_socket(struct exchange *exchange) {
  return make(exchange, listen_at);
}

static int hold(struct exchange *exchange) {
  return make(exchange, hold_fifo);
}

static void *find(struct exchange *exchange, enum object_kind kind) {
  return find_object(kind, value_of(exchange, TAG_NAME));
}

static int watch(struct exchange *exchange) {
  struct held *socket = find(exchange, OBJECT_SOCKET);
  if (socket == NULL) return failed(exchange, ENOENT, "no such socket");
  return watch_client(socket, number_of(exchange, TAG_WATCH)) < 0 ? failed(exchange, errno, "it cannot be watched") : 0;
}

static int unwatch(struct exchange *exchange) {
  struct held *socket = find(exchange, OBJECT_SOCKET);
  if (socket == NULL) return failed(exchange, ENOENT, "no such socket");
  unwatch_client(socket);
  return 0;
}

static int close_it(struct exchange *exchange) {
  uint64_t kind = number_of(exchange, TAG_OBJECT);
  if (kind == OBJECT_CONTAINER) {
    struct container *container = find(exchange, OBJECT_CONTAINER);
    if (container == NULL) return failed(exchange, ENOENT, "no such container");
    close_container(container);
    return 0;
  }
  if (kind != OBJECT_SOCKET && kind != OBJECT_FIFO) return failed(exchange, EINVAL, "no socket, FIFO or container");
  struct held *held = find(exchange, (enum object_kind)kind);
  if (held == NULL) return failed(exchange, ENOENT, "it is not held");
  int error = close_held(held);
  return error == 0 ? 0 : failed(exchange, error, "it is closed, but its file cannot be removed");
}

static int launch(struct exchange *exchange) {
  const char *problem;
  struct run *run = launch_fields(exchange->request->fields, &problem);
  if (run == NULL) return failed(exchange, errno, problem == NULL ? "it cannot be launched" : problem);
  put_number(exchange->reply, TAG_PID, (uint64_t)run->pid);
  return 0;
}

static int again(struct exchange *exchange) {
  struct run *run = find(exchange, OBJECT_RUN);
  if (run == NULL) return failed(exchange, ENOENT, "no such run");
  uint64_t after = number_of(exchange, TAG_AGAIN);
  if (after > UINT32_MAX) return failed(exchange, EINVAL, "a number is out of its range");
  return permit_next(run, (uint32_t)after) < 0 ? failed(exchange, errno, "no run can follow it") : 0;
}

static int forget(struct exchange *exchange) {
  struct run *run = find(exchange, OBJECT_RUN);
  if (run == NULL) return failed(exchange, ENOENT, "no such run");
  return forget_run(run) < 0 ? failed(exchange, errno, "it has not exited") : 0;
}

static int note(struct exchange *exchange) {
  int result = keep_note(value_of(exchange, TAG_NAME), value_of(exchange, TAG_BYTES));
  return result < 0 ? failed(exchange, errno, "it cannot be kept") : 0;
}

/* The socket or FIFO that HELD names. */
static struct held *held_of(const struct exchange *exchange, enum object_kind kind) {
  return kind == OBJECT_SOCKET || kind == OBJECT_FIFO ? find_object(kind, value_of(exchange, TAG_HELD)) : NULL;
}

static int admit(struct exchange *exchange) {
  struct held *socket = held_of(exchange, OBJECT_SOCKET);
  if (socket == NULL) return failed(exchange, ENOENT, "no such socket");
  struct container *container = admit_container(value_of(exchange, TAG_NAME), socket);
  if (container == NULL) return failed(exchange, errno, "it cannot be admitted");
  describe_object(exchange->reply, &container->object);
  return 0;
}

static int give(struct exchange *exchange) {
  struct container *container = find(exchange, OBJECT_CONTAINER);
  struct held *held = held_of(exchange, (enum object_kind)number_of(exchange, TAG_OBJECT));
  if (container == NULL || held == NULL) return failed(exchange, ENOENT, "no such container, socket or FIFO");
  return give_held(container, held) < 0 ? failed(exchange, errno, "it cannot be given") : 0;
}

static int forward(struct exchange *exchange) {
  struct container *container = find(exchange, OBJECT_CONTAINER);
  if (container == NULL) return failed(exchange, ENOENT, "no such container");
  struct text frame = value_of(exchange, TAG_BYTES);
  if (frame.length == 0) return failed(exchange, EINVAL, "a frame has a kind");
  return forward_to(container, frame) < 0 ? failed(exchange, errno, "it cannot be forwarded") : 0;
}

static int take(struct exchange *exchange) {
  uint64_t kind = number_of(exchange, TAG_OBJECT);
  if (!is_inside || exchange->session->descriptor < 0) return failed(exchange, EINVAL, "there is no descriptor");
  if (kind != OBJECT_SOCKET && kind != OBJECT_FIFO) return failed(exchange, EINVAL, "neither a socket nor a FIFO");
  struct held *held = take_held((enum object_kind)kind, value_of(exchange, TAG_NAME), exchange->session->descriptor);
  if (held == NULL) return failed(exchange, errno, "it cannot be held");
  exchange->session->descriptor = -1;
  return 0;
}

static int send_signal(struct exchange *exchange) {
  struct run *run = find(exchange, OBJECT_RUN);
  uint64_t number = number_of(exchange, TAG_SIGNAL);
  if (!is_inside) return failed(exchange, ENOSYS, "this is no container");
  if (run == NULL) return failed(exchange, ENOENT, "no such run");
  if (number > LARGEST_SIGNAL) return failed(exchange, EINVAL, "a number is out of its range");
  return signal_run(run, (int)number, number_of(exchange, TAG_ALL) == 1) < 0 ? failed(exchange, errno, "it is gone") : 0;
}

static int shut_down(struct exchange *exchange) {
  if (count_live_runs() > 0) return failed(exchange, EBUSY, "runs are alive");
  exchange->session->ends = true;
  return 0;
}

#define BIT(tag) (UINT64_C(1) << (tag))
#define MAKING (BIT(TAG_NAME) | BIT(TAG_PATH) | BIT(TAG_UID) | BIT(TAG_GID) | BIT(TAG_MODE))
/* Fields that are bytes or text; all others are numbers. */
#define BYTES (BIT(TAG_MAGIC) | BIT(TAG_NAME) | BIT(TAG_PATH) | BIT(TAG_BYTES) | BIT(TAG_HELD))

/* Requests: the fields that they need, and those that they may have besides. */
static const struct verb {
  enum kind kind;
  uint64_t needs, may;
  int (*perform)(struct exchange *exchange);
} VERBS[] = {
    {KIND_HELLO, BIT(TAG_MAGIC) | BIT(TAG_LOWEST) | BIT(TAG_HIGHEST), BIT(TAG_EVENTS), greet},
    {KIND_LIST, 0, BIT(TAG_AFTER), list},
    {KIND_LISTEN, MAKING | BIT(TAG_BACKLOG), BIT(TAG_REPLACE), listen_socket},
    {KIND_WATCH, BIT(TAG_NAME) | BIT(TAG_WATCH), 0, watch},
    {KIND_UNWATCH, BIT(TAG_NAME), 0, unwatch},
    {KIND_CLOSE, BIT(TAG_NAME) | BIT(TAG_OBJECT), 0, close_it},
    {KIND_HOLD, MAKING, BIT(TAG_NONBLOCK), hold},
    {KIND_AGAIN, BIT(TAG_NAME) | BIT(TAG_AGAIN), 0, again},
    {KIND_FORGET, BIT(TAG_NAME), 0, forget},
    {KIND_NOTE, BIT(TAG_NAME), BIT(TAG_BYTES), note},
    {KIND_SHUTDOWN, 0, 0, shut_down},
    {KIND_ADMIT, BIT(TAG_NAME) | BIT(TAG_HELD), 0, admit},
    {KIND_GIVE, BIT(TAG_NAME) | BIT(TAG_OBJECT) | BIT(TAG_HELD), 0, give},
    {KIND_FORWARD, BIT(TAG_NAME) | BIT(TAG_BYTES), 0, forward},
    {KIND_TAKE, BIT(TAG_NAME) | BIT(TAG_OBJECT), 0, take},
    {KIND_SIGNAL, BIT(TAG_NAME) | BIT(TAG_SIGNAL), BIT(TAG_ALL), send_signal},
};

static const struct verb *verb_of(uint8_t kind) {
  for (size_t index = 0; index < sizeof VERBS / sizeof *VERBS; index++)
    if (VERBS[index].kind == kind) return &VERBS[index];
  return NULL;
}

/* Sorts the fields of a request. 0 or an errno. */
static int sort_fields(const struct verb *verb, struct request *request, const char **detail) {
  uint64_t found = 0;
  struct reader fields = request->fields;
  struct field field;
  int more;
  while ((more = next_field(&fields, &field)) == 1) {
    *detail = "a field is unknown or of another request";
    if (field.tag >= TAGS || !((verb->needs | verb->may) & BIT(field.tag))) return EPROTO;
    *detail = "a field is there twice, or is no number";
    if (found & BIT(field.tag) || (!(BYTES & BIT(field.tag)) && field.value.length != 8)) return EINVAL;
    found |= BIT(field.tag);
    request->values[field.tag] = field.value;
  }
  *detail = more < 0 ? "the fields are malformed" : "a field is missing";
  return more < 0 || (found & verb->needs) != verb->needs ? EINVAL : 0;
}

static int perform(struct exchange *exchange, struct request *request, uint8_t kind) {
  /* What is given comes before the supervisor speaks. */
  if (!exchange->session->greeted && kind != KIND_HELLO && !(is_inside && kind == KIND_TAKE)) return failed(exchange, EPROTO, "HELLO comes first");
  if (kind == KIND_LAUNCH) return launch(exchange);
  const struct verb *verb = verb_of(kind);
  if (verb == NULL) return failed(exchange, ENOSYS, "no such request");
  int error = sort_fields(verb, request, &exchange->detail);
  return error != 0 ? error : verb->perform(exchange);
}

void answer(struct session *session, const uint8_t *frame, size_t length, struct writer *reply) {
  struct request request = {.fields = {NULL, NULL}};
  struct exchange exchange = {.session = session, .request = &request, .reply = reply, .detail = ""};
  size_t begin = begin_frame(reply, KIND_REPLY), head = reply->length;
  int error = EPROTO;
  if (length > 0) {
    request.fields = read_fields(frame + 1, length - 1);
    error = perform(&exchange, &request, frame[0]);
  }
  if (error != 0) {
    reply->length = head;
    put_text(reply, TAG_DETAIL, exchange.detail);
    if (length > 0 && frame[0] == KIND_HELLO) {
      put_number(reply, TAG_LOWEST, WIRE_LOWEST);
      put_number(reply, TAG_HIGHEST, WIRE_HIGHEST);
    }
  }
  put_number(reply, TAG_ERRNO, (uint64_t)error);
  end_frame(reply, begin);
}
