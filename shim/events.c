#define _GNU_SOURCE
#include "events.h"

#include <sys/wait.h>

#include "container.h"
#include "held.h"
#include "notes.h"
#include "runs.h"

static void describe_run(struct writer *writer, const struct run *run) {
  put_number(writer, TAG_PID, (uint64_t)run->pid);
  put_number(writer, TAG_STATE, run->state);
  put_number(writer, TAG_READY, run->ready);
  if (run->cgroup != NULL) put_text(writer, TAG_CGROUP, run->cgroup);
  if (run->failure != 0) {
    put_number(writer, TAG_FAILURE, (uint64_t)run->failure);
    put_text(writer, TAG_REASON, run->words == NULL ? "" : run->words);
    put_text(writer, TAG_STAGE, run->words == NULL ? "" : run->stage);
  } else if (run->words != NULL && run->state != RUN_EXITED) {
    put_text(writer, TAG_WAITING, run->words);
  }
  if (run->state != RUN_EXITED) return;
  if (run->left) put_number(writer, TAG_LEFT, 1);
  if (run->again.next != 0) {
    put_number(writer, TAG_NEXT, (uint64_t)run->again.next);
    put_number(writer, TAG_NEXT_AT, run->again.next_at);
  }
  if (WIFSIGNALED(run->status)) put_number(writer, TAG_EXIT_SIGNAL, (uint64_t)WTERMSIG(run->status));
  else put_number(writer, TAG_EXIT_CODE, (uint64_t)WEXITSTATUS(run->status));
}

static void describe_container(struct writer *writer, const struct container *container) {
  put_number(writer, TAG_PID, (uint64_t)container->pid);
  put_number(writer, TAG_UID, container->uid);
  put_number(writer, TAG_GONE, container->gone);
}

static void describe_socket(struct writer *writer, const struct held *socket) {
  put_text(writer, TAG_PATH, socket->path);
  put_number(writer, TAG_INODE, socket_inode(socket));
  put_number(writer, TAG_SHUT, is_shut(socket));
  put_number(writer, TAG_QUEUED, is_queued(socket));
  put_number(writer, TAG_SHARED, socket->shared);
  if (!socket->watching) return;
  put_number(writer, TAG_WATCH, socket->watch);
  put_number(writer, TAG_CLIENT, socket->client);
}

void describe_object(struct writer *writer, const struct object *object) {
  put_number(writer, TAG_OBJECT, object->kind);
  put_text(writer, TAG_NAME, object->name);
  switch (object->kind) {
    case OBJECT_RUN: describe_run(writer, (const struct run *)object); break;
    case OBJECT_SOCKET: describe_socket(writer, (const struct held *)object); break;
    case OBJECT_FIFO: put_text(writer, TAG_PATH, ((const struct held *)object)->path); break;
    case OBJECT_CONTAINER: describe_container(writer, (const struct container *)object); break;
    case OBJECT_NOTE: {
      const struct note *note = (const struct note *)object;
      put_bytes(writer, TAG_BYTES, note->bytes, note->length);
      break;
    }
  }
}

void begin_events(void) {
  for (struct object *each = next_object(0); each != NULL; each = each->after) {
    bool is_watched = each->kind == OBJECT_SOCKET && ((struct held *)each)->client;
    if (each->kind == OBJECT_RUN || is_watched) mark_changed(each);
  }
}

static enum kind event_of(const struct object *object) {
  if (object->kind == OBJECT_CONTAINER) return KIND_EVENT_CONTAINER;
  return object->kind == OBJECT_RUN ? KIND_EVENT_RUN : KIND_EVENT_CLIENT;
}

void put_events(struct writer *writer) {
  struct object *object;
  while ((object = first_changed()) != NULL && writer->capacity - writer->length >= LARGEST_DESCRIPTION) {
    size_t begin = begin_frame(writer, event_of(object));
    describe_object(writer, object);
    end_frame(writer, begin);
    unmark_changed(object);
  }
  put_forwarded(writer);
}
