/** The client of the shim: requests are answered before they return; events come by a second connection. */
import { closeSync, readSync, writeSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { codeOf } from "../kernel/error-code.ts";
import { errnoName } from "../kernel/libc.ts";
import { descriptorOf } from "../kernel/node-descriptor.ts";
import { uninterrupted } from "../kernel/uninterrupted.ts";
import { peerOf } from "../kernel/unix-socket.ts";
import {
  describedIn,
  itemsIn,
  OBJECT,
  type ShimContainer,
  type ShimObject,
  type ShimRun,
  type ShimSocket,
} from "./objects.ts";
import { connectOwn, requireOwn, SilentShim } from "./own-connection.ts";
import { planFields, type ShimPlan } from "./plan.ts";
import {
  bytesOf,
  encodeFrame,
  FRAME_HEAD,
  type Frame,
  KIND,
  MAGIC,
  numberOf,
  type Sent,
  TAG,
  takeFrames,
  textOf,
  WITH_AGAIN,
  WITH_CONTAINERS,
  type WireField,
} from "./wire.ts";

/** How a socket or a FIFO is made. */
interface Making {
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

const KINDS = { socket: OBJECT.SOCKET, fifo: OBJECT.FIFO, container: OBJECT.CONTAINER } as const;

/** The fields of HELLO. */
export const hello = (events: boolean, { lowest, highest }: Versions): Sent[] => [
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
export const requireSuccess = (request: string, fields: readonly WireField[]): void => {
  const errno = numberOf(fields, TAG.ERRNO);
  if (errno === 0) return;
  const code = errno === undefined ? "EPROTO" : errnoName(errno);
  throw Object.assign(new Error(`shim: ${request}: ${code}, ${textOf(fields, TAG.DETAIL) ?? "no reply"}`), { code });
};

const unanswered = (request: string, why: string): Error =>
  Object.assign(new Error(`shim: ${request}: ${why}`), { code: "ECONNRESET" });

/** Bytes that one read(2) takes; a reply to LIST may need several. */
const CHUNK = 16 * 1024;
/** Requests that may be sent before their replies are read. The socket takes many more replies. */
const MOST_POSTED = 64;

/** A connection for requests. Each method throws errno errors. */
export class Shim {
  readonly #fd: number;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK);
  /** Requests whose replies have not been read. */
  readonly #posted: { readonly request: string; readonly failed: (error: unknown) => void }[] = [];
  #replies: readonly Frame[] = [];
  /** The beginning of a reply. */
  #rest: Buffer = Buffer.alloc(0);
  #isBroken = false;
  /** Called in a later turn, once, when a reply did not come: this connection can be used no more. */
  broken: (error: unknown) => void = () => undefined;
  readonly pid: number;
  /** The version that both speak. */
  readonly #version: number;
  /** Checksum of the sources that it was built from; undefined for one that does not say. */
  readonly edition: number | undefined;
  /** Directory of the cgroups that belong to the shim; undefined where it has none. */
  readonly tree: string | undefined;

  /** @param timeout for each reply, in ms */
  constructor(path: string, versions: Versions, timeout: number) {
    this.#fd = connectOwn(path, timeout);
    try {
      const fields = this.#request("hello", KIND.HELLO, hello(false, versions));
      this.pid = numberOf(fields, TAG.PID) ?? 0;
      this.#version = numberOf(fields, TAG.VERSION) ?? 0;
      this.edition = numberOf(fields, TAG.EDITION);
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

  /** Makes a FIFO and holds it open. */
  hold(name: string, making: Making, nonblock = false): void {
    this.#make(`hold ${name}`, KIND.HOLD, name, making, [[TAG.NONBLOCK, nonblock]]);
  }

  /** Waits for the first client of a socket; events about it carry the number. */
  watch(name: string, number: number): void {
    this.#name("watch", KIND.WATCH, name, [[TAG.WATCH, number]]);
  }

  unwatch(name: string): void {
    this.#name("unwatch", KIND.UNWATCH, name);
  }

  /** Closes a socket or a FIFO, and removes its file; or the connection to the shim of a container, which ends then. */
  release(kind: "socket" | "fifo" | "container", name: string): void {
    this.#name("close", KIND.CLOSE, name, [[TAG.OBJECT, KINDS[kind]]]);
  }

  /** Whether it has the requests about containers. */
  get admitsContainers(): boolean {
    return this.#version >= WITH_CONTAINERS;
  }

  /** Accepts the shim of a container at a held socket. EAGAIN where none waits. */
  admit(name: string, socket: string): ShimContainer {
    const request: Sent[] = [
      [TAG.NAME, name],
      [TAG.HELD, socket],
    ];
    const container = describedIn(this.#request(`admit ${name}`, KIND.ADMIT, request));
    if (container?.kind !== "container") throw new Error(`shim: admit ${name}: the reply names no container`);
    return container;
  }

  /** Gives a held socket or FIFO to the shim of a container, under the same name. To be called before anything is forwarded. */
  give(container: string, kind: "socket" | "fifo", held: string): void {
    this.#name("give", KIND.GIVE, container, [
      [TAG.OBJECT, KINDS[kind]],
      [TAG.HELD, held],
    ]);
  }

  /**
   * Forwards a request to the shim of a container; its reply is forwarded as an event. Does not wait.
   * @param frame as encodeFrame makes it
   * @param failed called with an errno error, at the latest when the reply to a later request is read; nothing was forwarded then
   */
  forward(container: string, frame: Buffer, failed: (error: unknown) => void): void {
    const fields: Sent[] = [
      [TAG.NAME, container],
      [TAG.BYTES, frame.subarray(FRAME_HEAD)],
    ];
    this.#post(`forward ${container}`, KIND.FORWARD, fields, failed);
  }

  /** Launches a run; returns its pid. */
  launch(name: string, plan: ShimPlan): number {
    const known = this.#version < WITH_AGAIN ? { ...plan, again: undefined } : plan;
    return numberOf(this.#request(`launch ${name}`, KIND.LAUNCH, planFields(name, known)), TAG.PID) ?? 0;
  }

  /** Acknowledges the exit of a run: the shim forgets it. Does not wait for the reply; an error breaks the connection. */
  forget(name: string): void {
    this.#post(`forget ${name}`, KIND.FORGET, [[TAG.NAME, name]], (error) => this.#break(error));
  }

  /**
   * Keeps a text under a name; "" removes it. Does not wait for the reply.
   * @param failed called with an errno error, at the latest when the reply to a later request is read; no text is kept then
   */
  note(name: string, text: string, failed: (error: unknown) => void): void {
    const fields: Sent[] = [
      [TAG.NAME, name],
      [TAG.BYTES, text],
    ];
    this.#post(`note ${name}`, KIND.NOTE, fields, failed);
  }

  /**
   * Permits the shim to launch the run after this one by itself.
   * @param after when it has lived so many ms; 0: never
   */
  permitNext(name: string, after: number): void {
    this.#name("again", KIND.AGAIN, name, [[TAG.AGAIN, after]]);
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

  /** Sends a request and waits for its reply. */
  #request(request: string, kind: Kind, fields: readonly Sent[]): readonly WireField[] {
    const reply = this.#converse(request, () => {
      this.#send(kind, fields);
      this.#settle();
      const own = this.#receive(request);
      if (this.#replies.length > 0 || this.#rest.length > 0) throw unanswered(request, "more than one reply");
      return own;
    });
    requireSuccess(request, reply);
    return reply;
  }

  /** Sends a request whose reply is read with that of a later one. */
  #post(request: string, kind: Kind, fields: readonly Sent[], failed: (error: unknown) => void): void {
    this.#converse(request, () => {
      if (this.#posted.length >= MOST_POSTED) this.#settle();
      this.#send(kind, fields);
      this.#posted.push({ request, failed });
    });
  }

  #converse<T>(request: string, converse: () => T): T {
    if (this.#isBroken) throw unanswered(request, "the connection is broken");
    try {
      return converse();
    } catch (error) {
      // E2BIG: nothing was sent. Otherwise a reply that comes later would be taken for that of the next request.
      if (codeOf(error) !== "E2BIG") this.#break(error);
      throw codeOf(error) === "EAGAIN" ? new SilentShim(request, peerOf(this.#fd).pid) : error;
    }
  }

  #break(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    setImmediate(() => this.broken(error));
  }

  #send(kind: Kind, fields: readonly Sent[]): void {
    const bytes = encodeFrame(kind, fields);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }

  /** Reads the replies to what was posted. */
  #settle(): void {
    for (const { request, failed } of this.#posted.splice(0)) {
      const reply = this.#receive(request);
      try {
        requireSuccess(request, reply);
      } catch (error) {
        failed(error);
      }
    }
  }

  /** Reads the next reply. */
  #receive(request: string): readonly WireField[] {
    for (;;) {
      const [reply, ...later] = this.#replies;
      if (reply) {
        this.#replies = later;
        return reply.kind === KIND.REPLY ? reply.fields : [];
      }
      const length = uninterrupted(() => readSync(this.#fd, this.#chunk));
      if (length === 0) throw unanswered(request, "it has ended");
      const { frames, rest } = takeFrames(Buffer.concat([this.#rest, this.#chunk.subarray(0, length)]));
      this.#replies = frames;
      this.#rest = rest;
    }
  }
}

/** What a connection for events calls. */
interface ShimEvents {
  /** A run has changed: its state now. */
  run(run: ShimRun): void;
  /** The first client of a watched socket has come. */
  client(socket: ShimSocket): void;
  /** The shim of a container has ended. */
  container(container: ShimContainer): void;
  /** What the shim of a container has sent: a frame without its length. */
  forwarded(container: string, frame: Buffer): void;
  /** The connection has ended: the shim did, another supervisor has connected, or the shim refused it. */
  ended(error: Error | undefined): void;
}

const EVENTS: ReadonlySet<number> = new Set([KIND.EVENT_RUN, KIND.EVENT_CLIENT, KIND.EVENT_CONTAINER]);
const NOTHING = Buffer.alloc(0);

/** Connects for events. Destroy the socket to end that. */
export const followShim = (path: string, versions: Versions, events: ShimEvents): Socket => {
  let rest: Buffer = Buffer.alloc(0);
  let failure: Error | undefined;
  const handle = ({ kind, fields }: Frame): void => {
    if (kind === KIND.REPLY) requireSuccess("hello", fields);
    if (kind === KIND.FORWARDED)
      events.forwarded(textOf(fields, TAG.NAME) ?? "", bytesOf(fields, TAG.BYTES) ?? NOTHING);
    const object = EVENTS.has(kind) ? describedIn(fields) : undefined;
    if (object?.kind === "run") events.run(object);
    if (object?.kind === "socket") events.client(object);
    if (object?.kind === "container") events.container(object);
  };
  const receive = (chunk: Uint8Array): void => {
    const taken = takeFrames(Buffer.concat([rest, chunk]));
    rest = taken.rest;
    for (const frame of taken.frames) handle(frame);
  };
  // One buffer for all events: a new one for each, as streams have it, is garbage at each launch.
  const buffer = Buffer.allocUnsafeSlow(CHUNK);
  const callback = (length: number): boolean => {
    try {
      receive(buffer.subarray(0, length));
      return true;
    } catch (error) {
      socket.destroy(error as Error);
      return false;
    }
  };
  // The account of this process at connect(2).
  const own = process.geteuid?.();
  const socket = connect({ path, onread: { buffer, callback } }, () => {
    try {
      requireOwn(path, descriptorOf(socket), own);
      socket.write(encodeFrame(KIND.HELLO, hello(true, versions)));
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
  socket.on("error", (error) => {
    failure ??= error;
  });
  socket.on("close", () => events.ended(failure));
  return socket;
};
