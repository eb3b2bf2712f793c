/* The protocol of the shim: frames of tagged fields (docs/decisions/0018). Pure. */
#ifndef SHIM_WIRE_H
#define SHIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC "dmhost-shim"
/* Versions that this program speaks. 2: AGAIN, as a request and in a plan. 3: containers. */
#define WIRE_LOWEST 1
#define WIRE_HIGHEST 3

/* A frame is its length without these bytes (32 bits, little-endian), one byte for its kind, and fields. */
#define FRAME_HEAD 4
#define LARGEST_FRAME (256 * 1024)
/* Of frames that the shim of a container sends. */
#define LARGEST_FORWARDED (64 * 1024)
/* A field is its tag (16 bits), its length (32 bits) and its bytes. */
#define FIELD_HEAD 6

/* What a frame is. Numbers stay, also of those that a later version no longer has. */
enum kind {
  KIND_HELLO = 1,
  KIND_LIST = 2,
  KIND_LISTEN = 3,
  KIND_WATCH = 4,
  KIND_UNWATCH = 5,
  KIND_CLOSE = 6,
  KIND_HOLD = 7,
  KIND_LAUNCH = 8,
  KIND_FORGET = 11,
  KIND_NOTE = 12,
  KIND_SHUTDOWN = 13,
  KIND_AGAIN = 14,
  KIND_ADMIT = 15,
  KIND_GIVE = 16,
  KIND_FORWARD = 17,
  /* To the shim of a container. TAKE comes with a descriptor. */
  KIND_TAKE = 18,
  KIND_SIGNAL = 19,
  /* What the shim of a container sends first. */
  KIND_JOIN = 20,
  KIND_REPLY = 0x80,
  KIND_EVENT_RUN = 0x81,
  KIND_EVENT_CLIENT = 0x82,
  KIND_EVENT_CONTAINER = 0x83,
  KIND_FORWARDED = 0x84,
};

/* What a field is. N: a number of 64 bits, little-endian. T: text without NUL. B: bytes. */
enum tag {
  TAG_MAGIC = 1,        /* T */
  TAG_LOWEST = 2,       /* N the versions that the client speaks */
  TAG_HIGHEST = 3,      /* N */
  TAG_VERSION = 4,      /* N the version that both speak */
  TAG_EVENTS = 5,       /* N 1: this connection gets the events */
  TAG_ERRNO = 6,        /* N 0: done */
  TAG_DETAIL = 7,       /* T what failed */
  TAG_NAME = 8,         /* T */
  TAG_PATH = 9,         /* T */
  TAG_UID = 10,         /* N */
  TAG_GID = 11,         /* N */
  TAG_MODE = 12,        /* N */
  TAG_BACKLOG = 13,     /* N */
  TAG_REPLACE = 14,     /* N 1: a new socket takes the place of the held one, whose waiting clients are refused */
  TAG_NONBLOCK = 15,    /* N 1 */
  TAG_AFTER = 16,       /* N identity of the last object that a LIST has returned */
  TAG_ITEM = 17,        /* B fields of one object */
  TAG_OBJECT = 18,      /* N enum object_kind */
  TAG_INODE = 19,       /* N of a socket, as sock_diag(7) names it */
  TAG_NEW = 20,       /* N 1: it was made by this request */
  TAG_SHUT = 21,        /* N 1: a program has shut the socket down */
  TAG_WATCH = 22,       /* N the number that the client gave this watch */
  TAG_CLIENT = 23,      /* N 1: a client has come */
  TAG_PID = 24,         /* N */
  TAG_STATE = 26,       /* N enum run_state */
  TAG_READY = 27,       /* N 1 */
  TAG_WAITING = 28,     /* T what the launch waits for */
  TAG_STAGE = 29,       /* T the stage of a launch that failed */
  TAG_REASON = 30,      /* T */
  TAG_FAILURE = 31,     /* N errno of the stage; 0: none */
  TAG_EXIT_CODE = 32,   /* N */
  TAG_EXIT_SIGNAL = 33, /* N */
  TAG_BYTES = 36,       /* B */
  TAG_TREE = 37,        /* T directory of the cgroups that belong to the shim */
  TAG_QUEUED = 38,      /* N 1: clients wait at the socket to be accepted */
  TAG_SHARED = 39,      /* N 1: a run has had the socket */
  TAG_EDITION = 40,     /* N checksum of the sources of the shim */
  TAG_AGAIN = 41,       /* N shortest life in ms of a run after which the shim launches the next one by itself; 0: it does not */
  TAG_NEXT = 42,        /* N pid of the run that the shim has launched after this one */
  TAG_NEXT_AT = 43,     /* N when it has done so, in ms of CLOCK_MONOTONIC */
  TAG_HELD = 44,        /* T name of a socket or a FIFO that is held */
  TAG_SIGNAL = 45,      /* N */
  TAG_ALL = 46,         /* N 1: to all processes of the container, else to the main process of the run */
  TAG_LEFT = 47,        /* N 1: the run has exited, and other processes of its container are left */
  TAG_GONE = 48,        /* N 1: the shim of the container has closed its connection */

  /* A launch plan. */
  TAG_WORD = 64,            /* T repeated: program and arguments */
  TAG_SHELL = 65,           /* T */
  TAG_START = 66,           /* T `shell -c start`, also where the arguments cannot be executed */
  TAG_VARIABLE = 67,        /* T repeated: NAME=value */
  TAG_DIRECTORY = 68,       /* T */
  TAG_UMASK = 69,           /* N */
  TAG_NICE = 70,            /* N in two's complement */
  TAG_CGROUP = 71,          /* T its directory */
  TAG_RUN_UID = 72,         /* N without it the account stays */
  TAG_RUN_GID = 73,         /* N */
  TAG_GROUP = 74,           /* N repeated: supplementary groups */
  TAG_KEEPS = 75,           /* N 1: root keeps its capabilities */
  TAG_LOCK = 76,            /* T */
  TAG_LOCK_FD = 77,         /* N */
  TAG_READER_WORD = 78,     /* T repeated: program that prints the variables */
  TAG_READER_VARIABLE = 79, /* T repeated: its environment */
  TAG_JAIL = 80,            /* T */
  TAG_JAIL_OWNER = 81,      /* N */
  TAG_RLIMIT = 82,          /* B repeated: resource, soft, hard, each N */
  TAG_DESCRIPTOR = 83,      /* B repeated: target N, enum descriptor_kind N, name T */
  TAG_READY_FD = 84,        /* N */
  TAG_NOTIFY = 85,          /* T path of the socket for sd_notify(3) */
  TAG_DEATH_SIGNAL = 87,    /* N signal at the end of the shim */
  TAG_LISTEN_PID = 88,      /* N 1: set LISTEN_PID */
};

/* Bytes of somebody else's buffer. */
struct text {
  const uint8_t *bytes;
  size_t length;
};

struct field {
  uint16_t tag;
  struct text value;
};

/* Takes fields one after another. */
struct reader {
  const uint8_t *at;
  const uint8_t *end;
};

struct reader read_fields(const void *bytes, size_t length);

/* The next field: 1; 0 at the end; -1 where the bytes are no field. */
int next_field(struct reader *reader, struct field *field);

/* Reads 8 bytes. */
uint64_t number_at(const uint8_t *bytes);
uint32_t length_at(const uint8_t *bytes);

/* Whether the value is a number, which it stores. */
bool as_number(struct text value, uint64_t *number);

/* Whether the value is text without NUL, of `least` to `most` bytes. */
bool is_text(struct text value, size_t least, size_t most);

/* Composes frames in a buffer of a fixed size. What does not fit sets `full` and is left out. */
struct writer {
  uint8_t *bytes;
  size_t capacity;
  size_t length;
  bool full;
};

/* Begins a frame; returns where it begins. */
size_t begin_frame(struct writer *writer, enum kind kind);
void end_frame(struct writer *writer, size_t begin);

/* Begins a field that consists of fields; returns where it begins. */
size_t begin_item(struct writer *writer);
void end_item(struct writer *writer, size_t begin);

void put_number(struct writer *writer, enum tag tag, uint64_t number);
void put_bytes(struct writer *writer, enum tag tag, const void *bytes, size_t length);
void put_text(struct writer *writer, enum tag tag, const char *text);

#endif
