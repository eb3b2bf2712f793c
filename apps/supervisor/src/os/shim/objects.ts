/** What the shim has, as it describes it in LIST and in events. */
import { bytesOf, decodeFields, numberOf, TAG, textOf, type WireField } from "./wire.ts";

/** Numbers of kinds of objects (shim/table.h). */
export const OBJECT = { RUN: 1, SOCKET: 2, FIFO: 3, NOTE: 4, CONTAINER: 5 } as const;

/** Numbers of states of runs (shim/runs.h). */
const STATES = new Map([
  [1, "launching"],
  [3, "launched"],
  [4, "exited"],
] as const);

export interface ShimRun {
  readonly kind: "run";
  readonly name: string;
  readonly pid: number;
  /** Directory of its cgroup. */
  readonly cgroup: string | undefined;
  readonly state: "launching" | "launched" | "exited";
  readonly ready: boolean;
  /** What its launch waits for, in words. */
  readonly waiting: string | undefined;
  /** Where and why its launch failed. */
  readonly failure: { readonly stage: string; readonly reason: string; readonly errno: number } | undefined;
  readonly end:
    | { readonly code: number; readonly signal: undefined }
    | { readonly code: undefined; readonly signal: number }
    | undefined;
  /** The run that the shim has launched after it, and when, in ms of the monotonic clock; undefined where it has launched none. */
  readonly next: { readonly pid: number; readonly at: number } | undefined;
  /** In a container: whether it has exited and other processes are left. */
  readonly left: boolean;
}

/** A listening socket. */
export interface ShimSocket {
  readonly kind: "socket";
  readonly name: string;
  readonly path: string;
  /** As sock_diag(7) names it. */
  readonly inode: number;
  /** Whether a program has shut it down. */
  readonly shut: boolean;
  /** Whether clients wait to be accepted. */
  readonly queued: boolean;
  /** Whether a run has had it. */
  readonly shared: boolean;
  /** The number of the watch for its first client, and whether that has come; undefined where none is watched for. */
  readonly watch: { readonly number: number; readonly client: boolean } | undefined;
}

export interface ShimFifo {
  readonly kind: "fifo";
  readonly name: string;
  readonly path: string;
}

interface ShimNote {
  readonly kind: "note";
  readonly name: string;
  readonly bytes: Buffer;
}

/** A connection to the shim of a container, with the account and the pid of that, by the kernel. */
export interface ShimContainer {
  readonly kind: "container";
  readonly name: string;
  readonly uid: number;
  /** 0 where the container's processes cannot be seen. */
  readonly pid: number;
  /** Whether it has closed the connection. */
  readonly gone: boolean;
}

export type ShimObject = ShimRun | ShimSocket | ShimFifo | ShimNote | ShimContainer;

const number = (fields: readonly WireField[], tag: Parameters<typeof numberOf>[1]): number =>
  numberOf(fields, tag) ?? 0;

const endOf = (fields: readonly WireField[]): ShimRun["end"] => {
  const code = numberOf(fields, TAG.EXIT_CODE);
  if (code !== undefined) return { code, signal: undefined };
  const signal = numberOf(fields, TAG.EXIT_SIGNAL);
  return signal === undefined ? undefined : { code: undefined, signal };
};

const nextOf = (fields: readonly WireField[]): ShimRun["next"] => {
  const pid = numberOf(fields, TAG.NEXT);
  return pid === undefined ? undefined : { pid, at: number(fields, TAG.NEXT_AT) };
};

const failureOf = (fields: readonly WireField[]): ShimRun["failure"] => {
  const errno = number(fields, TAG.FAILURE);
  if (errno === 0) return undefined;
  return { stage: textOf(fields, TAG.STAGE) ?? "", reason: textOf(fields, TAG.REASON) ?? "", errno };
};

const watchOf = (fields: readonly WireField[]): ShimSocket["watch"] => {
  const watch = numberOf(fields, TAG.WATCH);
  return watch === undefined ? undefined : { number: watch, client: numberOf(fields, TAG.CLIENT) === 1 };
};

/** An object out of its fields; undefined for a kind or a state that this client does not know. */
export const describedIn = (fields: readonly WireField[]): ShimObject | undefined => {
  const name = textOf(fields, TAG.NAME) ?? "";
  const path = textOf(fields, TAG.PATH) ?? "";
  switch (numberOf(fields, TAG.OBJECT)) {
    case OBJECT.RUN: {
      const state = STATES.get(number(fields, TAG.STATE) as 1);
      if (state === undefined) return undefined;
      return {
        kind: "run",
        name,
        pid: number(fields, TAG.PID),
        cgroup: textOf(fields, TAG.CGROUP),
        state,
        ready: numberOf(fields, TAG.READY) === 1,
        waiting: textOf(fields, TAG.WAITING),
        failure: failureOf(fields),
        end: endOf(fields),
        next: nextOf(fields),
        left: numberOf(fields, TAG.LEFT) === 1,
      };
    }
    case OBJECT.SOCKET: {
      const shut = numberOf(fields, TAG.SHUT) === 1;
      const queued = numberOf(fields, TAG.QUEUED) === 1;
      const shared = numberOf(fields, TAG.SHARED) === 1;
      const inode = number(fields, TAG.INODE);
      return { kind: "socket", name, path, inode, shut, queued, shared, watch: watchOf(fields) };
    }
    case OBJECT.FIFO:
      return { kind: "fifo", name, path };
    case OBJECT.CONTAINER: {
      const [uid, pid] = [number(fields, TAG.UID), number(fields, TAG.PID)];
      return { kind: "container", name, uid, pid, gone: numberOf(fields, TAG.GONE) === 1 };
    }
    case OBJECT.NOTE:
      return { kind: "note", name, bytes: bytesOf(fields, TAG.BYTES) ?? Buffer.alloc(0) };
    default:
      return undefined;
  }
};

/** The objects in a reply to LIST. */
export const itemsIn = (fields: readonly WireField[]): ShimObject[] =>
  fields
    .filter(({ tag }) => tag === TAG.ITEM)
    .map(({ value }) => describedIn(decodeFields(value)))
    .filter((each) => each !== undefined);
