/** The client of the shim: requests are answered before they return; events come by a second connection. */
import { closeSync, readSync, writeSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { codeOf } from "../kernel/error-code.ts";
import { errnoName } from "../kernel/libc.ts";
import { uninterrupted } from "../kernel/uninterrupted.ts";
import { connectUnix } from "../kernel/unix-socket.ts";
import { describedIn, itemsIn, OBJECT, type ShimObject, type ShimRun, type ShimSocket } from "./objects.ts";
import { planFields, type ShimPlan } from "./plan.ts";
import {
  encodeFrame,
  type Frame,
  KIND,
  MAGIC,
  numberOf,
  type Sent,
  TAG,
  takeFrames,
  textOf,
  type WireField,
} from "./wire.ts";

/** How a socket or a FIFO is made. */
export interface Making {
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** How a socket is made. */
export interface Listening extends Making {
  readonly backlog: number;
}

type Kind = Parameters<typeof encodeFrame>[0];

const hello = (events: boolean, { lowest, highest }: Versions): Sent[] => [
  [TAG.MAGIC, MAGIC],
  [TAG.LOWEST, lowest],
  [TAG.HIGHEST, highest],
  [TAG.EVENTS, events],
];

/** The versions that a client speaks. */
export interface Versions {
  readonly lowest: number;
  readonly highest: number;
}

/** @throws an error with the errno name of the reply as its code */
const requireSuccess = (request: string, fields: readonly WireField[]): void => {
  const errno = numberOf(fields, TAG.ERRNO);
  if (errno === 0) return;
  const code = errno === undefined ? "EPROTO" : errnoName(errno);
  throw Object.assign(new Error(`shim: ${request}: ${code}, ${textOf(fields, TAG.DETAIL) ?? "no reply"}`), { code });
};

const unanswered = (request: string, why: string): Error =>
  Object.assign(new Error(`shim: ${request}: ${why}`), { code: "ECONNRESET" });

/** A connection for requests. Each method throws errno errors. */
export class Shim {
  readonly #fd: number;
  readonly #chunk = Buffer.alloc(16_384);
  #isBroken = false;
  /** Called in a later turn, once, when a reply did not come: this connection can be used no more. */
  broken: (error: unknown) => void = () => undefined;
  readonly pid: number;
  readonly version: number;
  /** Directory of the cgroups that belong to the shim; undefined where it has none. */
  readonly tree: string | undefined;

  /** @param timeout for each reply, in ms */
  constructor(path: string, versions: Versions, timeout: number) {
    this.#fd = connectUnix(path, timeout);
    try {
      const fields = this.#request("hello", KIND.HELLO, hello(false, versions));
      this.pid = numberOf(fields, TAG.PID) ?? 0;
      this.version = numberOf(fields, TAG.VERSION) ?? 0;
      this.tree = textOf(fields, TAG.TREE);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Everything that the shim has. */
  list(): ShimObject[] {
    const objects: ShimObject[] = [];
    let after: number | undefined = 0;
    while (after !== undefined) {
      const fields = this.#request("list", KIND.LIST, [[TAG.AFTER, after]]);
      objects.push(...itemsIn(fields));
      after = numberOf(fields, TAG.AFTER);
    }
    return objects;
  }

  /**
   * Listens at a path, or restores the accept queue of the socket that the shim has under this name.
   * @param replace whether a new socket takes the place of that one, whose waiting clients are refused
   */
  listen(name: string, making: Listening, replace = false): { readonly socket: ShimSocket; readonly isNew: boolean } {
    const options: Sent[] = [
      [TAG.BACKLOG, making.backlog],
      [TAG.REPLACE, replace],
    ];
    const fields = this.#make(`listen ${name}`, KIND.LISTEN, name, making, options);
    const socket = describedIn(fields);
    if (socket?.kind !== "socket") throw new Error(`shim: listen ${name}: the reply names no socket`);
    return { socket, isNew: numberOf(fields, TAG.NEW) === 1 };
  }

  /** Holds a FIFO open; whether it was not held before. */
  hold(name: string, making: Making, nonblock = false): boolean {
    const fields = this.#make(`hold ${name}`, KIND.HOLD, name, making, [[TAG.NONBLOCK, nonblock]]);
    return numberOf(fields, TAG.NEW) === 1;
  }

  /** Waits for the first client of a socket; events about it carry the number. */
  watch(name: string, number: number): void {
    this.#name("watch", KIND.WATCH, name, [[TAG.WATCH, number]]);
  }

  unwatch(name: string): void {
    this.#name("unwatch", KIND.UNWATCH, name);
  }

  /** Closes a socket or a FIFO, and removes its file. */
  release(kind: "socket" | "fifo", name: string): void {
    this.#name("close", KIND.CLOSE, name, [[TAG.OBJECT, kind === "socket" ? OBJECT.SOCKET : OBJECT.FIFO]]);
  }

  /** Launches a run; returns its pid. */
  launch(name: string, plan: ShimPlan): number {
    return numberOf(this.#request(`launch ${name}`, KIND.LAUNCH, planFields(name, plan)), TAG.PID) ?? 0;
  }

  /** Signals the main process of a run. */
  signal(name: string, signal: number): void {
    this.#name("signal", KIND.SIGNAL, name, [[TAG.SIGNAL, signal]]);
  }

  /** Acknowledges the exit of a run: the shim forgets it. */
  forget(name: string): void {
    this.#name("forget", KIND.FORGET, name);
  }

  /** Keeps bytes under a name; no bytes remove them. */
  note(name: string, bytes: Uint8Array): void {
    this.#name("note", KIND.NOTE, name, [[TAG.BYTES, bytes]]);
  }

  /** Ends the shim, which must have no live runs. */
  shutDown(): void {
    this.#request("shutdown", KIND.SHUTDOWN, []);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #name(request: string, kind: Kind, name: string, fields: readonly Sent[] = []): void {
    this.#request(`${request} ${name}`, kind, [[TAG.NAME, name], ...fields]);
  }

  #make(
    request: string,
    kind: Kind,
    name: string,
    { path, uid, gid, mode }: Making,
    options: readonly Sent[],
  ): readonly WireField[] {
    return this.#request(request, kind, [
      [TAG.NAME, name],
      [TAG.PATH, path],
      [TAG.UID, uid],
      [TAG.GID, gid],
      [TAG.MODE, mode],
      ...options,
    ]);
  }

  #request(request: string, kind: Kind, fields: readonly Sent[]): readonly WireField[] {
    if (this.#isBroken) throw unanswered(request, "the connection is broken");
    let reply: Frame;
    try {
      const bytes = encodeFrame(kind, fields);
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
      reply = this.#receive(request);
    } catch (error) {
      // A reply that comes later would be taken for that of the next request.
      this.#isBroken = true;
      setImmediate(() => this.broken(error));
      throw codeOf(error) === "EAGAIN" ? unanswered(request, "no reply in time") : error;
    }
    requireSuccess(request, reply.kind === KIND.REPLY ? reply.fields : []);
    return reply.fields;
  }

  #receive(request: string): Frame {
    let received: Buffer = Buffer.alloc(0);
    for (;;) {
      const { frames, rest } = takeFrames(received);
      const [frame, ...more] = frames;
      if (more.length > 0 || (frame !== undefined && rest.length > 0)) throw unanswered(request, "more than one reply");
      if (frame !== undefined) return frame;
      const length = uninterrupted(() => readSync(this.#fd, this.#chunk));
      if (length === 0) throw unanswered(request, "it has ended");
      received = Buffer.concat([rest, this.#chunk.subarray(0, length)]);
    }
  }
}

/** What a connection for events calls. */
export interface ShimEvents {
  /** A run has changed: its state now. */
  run(run: ShimRun): void;
  /** The first client of a watched socket has come. */
  client(socket: ShimSocket): void;
  /** Everything that had changed before the connection was reported. */
  synced(): void;
  /** The connection has ended: the shim did, another supervisor has connected, or the shim refused it. */
  ended(error: Error | undefined): void;
}

/** Connects for events. Destroy the socket to end that. */
export const followShim = (path: string, versions: Versions, events: ShimEvents): Socket => {
  let received: Buffer = Buffer.alloc(0);
  let failure: Error | undefined;
  const handle = ({ kind, fields }: Frame): void => {
    if (kind === KIND.REPLY) requireSuccess("hello", fields);
    if (kind === KIND.SYNCED) events.synced();
    const object = kind === KIND.EVENT_RUN || kind === KIND.EVENT_CLIENT ? describedIn(fields) : undefined;
    if (object?.kind === "run") events.run(object);
    if (object?.kind === "socket") events.client(object);
  };
  const socket = connect(path, () => socket.write(encodeFrame(KIND.HELLO, hello(true, versions))));
  socket.on("error", (error) => {
    failure ??= error;
  });
  socket.on("close", () => events.ended(failure));
  socket.on("data", (chunk: Buffer) => {
    try {
      const { frames, rest } = takeFrames(Buffer.concat([received, chunk]));
      received = rest;
      for (const frame of frames) handle(frame);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
  return socket;
};
