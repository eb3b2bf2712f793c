/** The protocol of the shim (docs/decisions/0018): frames of tagged fields. Its numbers are those of shim/wire.h. */

export const MAGIC = "dmhost-shim";
/** Versions that this client speaks. */
export const VERSIONS = { lowest: 1, highest: 3 } as const;
/** The first version with AGAIN: an older shim refuses a plan with it. */
export const WITH_AGAIN = 2;
/** The first version that has containers. */
export const WITH_CONTAINERS = 3;
export const LARGEST_FRAME = 256 * 1024;

/** What a frame is. */
export const KIND = {
  HELLO: 1,
  LIST: 2,
  LISTEN: 3,
  WATCH: 4,
  UNWATCH: 5,
  CLOSE: 6,
  HOLD: 7,
  LAUNCH: 8,
  FORGET: 11,
  NOTE: 12,
  SHUTDOWN: 13,
  AGAIN: 14,
  ADMIT: 15,
  GIVE: 16,
  FORWARD: 17,
  TAKE: 18,
  SIGNAL: 19,
  JOIN: 20,
  REPLY: 0x80,
  EVENT_RUN: 0x81,
  EVENT_CLIENT: 0x82,
  EVENT_CONTAINER: 0x83,
  FORWARDED: 0x84,
} as const;

/** What a field is. */
export const TAG = {
  MAGIC: 1,
  LOWEST: 2,
  HIGHEST: 3,
  VERSION: 4,
  EVENTS: 5,
  ERRNO: 6,
  DETAIL: 7,
  NAME: 8,
  PATH: 9,
  UID: 10,
  GID: 11,
  MODE: 12,
  BACKLOG: 13,
  REPLACE: 14,
  NONBLOCK: 15,
  AFTER: 16,
  ITEM: 17,
  OBJECT: 18,
  INODE: 19,
  NEW: 20,
  SHUT: 21,
  WATCH: 22,
  CLIENT: 23,
  PID: 24,
  STATE: 26,
  READY: 27,
  WAITING: 28,
  STAGE: 29,
  REASON: 30,
  FAILURE: 31,
  EXIT_CODE: 32,
  EXIT_SIGNAL: 33,
  BYTES: 36,
  TREE: 37,
  QUEUED: 38,
  SHARED: 39,
  EDITION: 40,
  AGAIN: 41,
  NEXT: 42,
  NEXT_AT: 43,
  HELD: 44,
  SIGNAL: 45,
  ALL: 46,
  LEFT: 47,
  GONE: 48,
  WORD: 64,
  SHELL: 65,
  START: 66,
  VARIABLE: 67,
  DIRECTORY: 68,
  UMASK: 69,
  NICE: 70,
  CGROUP: 71,
  RUN_UID: 72,
  RUN_GID: 73,
  GROUP: 74,
  KEEPS: 75,
  LOCK: 76,
  LOCK_FD: 77,
  READER_WORD: 78,
  READER_VARIABLE: 79,
  JAIL: 80,
  JAIL_OWNER: 81,
  RLIMIT: 82,
  DESCRIPTOR: 83,
  READY_FD: 84,
  NOTIFY: 85,
  DEATH_SIGNAL: 87,
  LISTEN_PID: 88,
} as const;

type Kind = (typeof KIND)[keyof typeof KIND];
type Tag = (typeof TAG)[keyof typeof TAG];

/** A field to send. A number may be negative; a boolean is 1 or 0. */
export type Sent = readonly [tag: Tag, value: number | bigint | boolean | string | Uint8Array];

/** A field that was received. */
export interface WireField {
  readonly tag: number;
  readonly value: Buffer;
}

/** A frame that was received. */
export interface Frame {
  readonly kind: number;
  readonly fields: readonly WireField[];
}

/** Bytes of a frame's length. */
export const FRAME_HEAD = 4;
const FIELD_HEAD = 6;

/** 64 bits, little-endian. */
export const encodeNumber = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return bytes;
};

/** Frames are written here, one at a time. */
const scratch = Buffer.allocUnsafeSlow(FRAME_HEAD + LARGEST_FRAME);
const view = new DataView(scratch.buffer);

const lengthOf = (value: Sent[1]): number => {
  if (typeof value === "string") return Buffer.byteLength(value);
  return typeof value === "object" ? value.length : 8;
};

const writeValue = (value: Sent[1], at: number): void => {
  if (typeof value === "string") scratch.write(value, at);
  else if (typeof value === "object") scratch.set(value, at);
  else view.setBigUint64(at, BigInt(value), true);
};

/** @throws E2BIG for more than the shim takes */
export const encodeFrame = (kind: Kind, fields: readonly Sent[]): Buffer => {
  let end = FRAME_HEAD + 1;
  for (const [tag, value] of fields) {
    const length = lengthOf(value);
    const at = end + FIELD_HEAD;
    end = at + length;
    if (end > scratch.length) {
      throw Object.assign(new Error(`a request is too long: at most ${LARGEST_FRAME} bytes are possible`), {
        code: "E2BIG",
      });
    }
    view.setUint16(at - FIELD_HEAD, tag, true);
    view.setUint32(at - FIELD_HEAD + 2, length, true);
    writeValue(value, at);
  }
  view.setUint32(0, end - FRAME_HEAD, true);
  view.setUint8(FRAME_HEAD, kind);
  return Buffer.from(scratch.subarray(0, end));
};

/** @throws an error for bytes that are no fields */
export const decodeFields = (bytes: Buffer): WireField[] => {
  const fields: WireField[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = at + FIELD_HEAD <= bytes.length ? bytes.readUInt32LE(at + 2) : Number.POSITIVE_INFINITY;
    const end = at + FIELD_HEAD + length;
    if (end > bytes.length) throw new Error("the shim sent a malformed frame");
    fields.push({ tag: bytes.readUInt16LE(at), value: bytes.subarray(at + FIELD_HEAD, end) });
    at = end;
  }
  return fields;
};

/** Takes the complete frames off the beginning of what was received. @throws an error for bytes that are no frames */
export const takeFrames = (received: Buffer): { readonly frames: readonly Frame[]; readonly rest: Buffer } => {
  const frames: Frame[] = [];
  let at = 0;
  while (received.length - at >= FRAME_HEAD) {
    const length = received.readUInt32LE(at);
    if (length < 1 || length > LARGEST_FRAME) throw new Error(`the shim sent a frame of ${length} bytes`);
    const begin = at + FRAME_HEAD;
    if (received.length - begin < length) break;
    at = begin + length;
    frames.push({ kind: received.readUInt8(begin), fields: decodeFields(received.subarray(begin + 1, at)) });
  }
  return { frames, rest: received.subarray(at) };
};

/** The bytes of the first field with this tag; undefined where there is none. */
export const bytesOf = (fields: readonly WireField[], tag: Tag): Buffer | undefined => {
  // A loop: each run that starts or ends takes dozens of these steps, which are not compiled to machine code.
  for (const each of fields) if (each.tag === tag) return each.value;
  return undefined;
};

/** The number of the first field with this tag; undefined where there is none. */
export const numberOf = (fields: readonly WireField[], tag: Tag): number | undefined => {
  const value = bytesOf(fields, tag);
  return value?.length === 8 ? value.readUInt32LE() + value.readUInt32LE(4) * 2 ** 32 : undefined;
};

/** The text of the first field with this tag; undefined where there is none. */
export const textOf = (fields: readonly WireField[], tag: Tag): string | undefined =>
  bytesOf(fields, tag)?.toString("utf8");
