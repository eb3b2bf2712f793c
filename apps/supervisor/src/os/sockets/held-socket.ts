/** A listening socket that the shim holds for a daemon (docs/explanation/security.md#20). */
import { chmodSync, lstatSync, type Stats, utimesSync } from "node:fs";
import { messageOf } from "../../core/error-message.ts";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { HeldSocket } from "../../engine/ports/sockets.ts";
import { fileNumber } from "../kernel/file-number.ts";
import type { ShimLink } from "../shim/link.ts";
import type { ShimSocket } from "../shim/objects.ts";
import { queuedClients } from "./socket-facts.ts";

/** Connections that wait at a listening socket at most. */
export const BACKLOG = 4096;
/** Modes of a socket: open to the group, and closed to all. */
const ADMITS = 0o660;
const REFUSES = 0o000;
/** An access time that no client has caused. Seconds since 1970. */
const LONG_AGO = 1;

/** The file at a path; undefined where there is none, or where it cannot be examined. */
const fileAt = (path: string): Stats | undefined => {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
};

export class ShimHeldSocket implements HeldSocket {
  readonly path: string;
  readonly isNew: boolean;
  readonly #link: ShimLink;
  readonly #name: string;
  /** Group of those who may connect. */
  readonly #gid: number;
  readonly #report: (problem: string) => void;
  #socket: ShimSocket;
  /** Whether it has refused all clients since it was made: then none can wait. */
  #isUnused: boolean;
  /** Its evidence when it was closed: runs may still listen on it. */
  #last: SocketEvidence | undefined;

  /**
   * Listens at a path, for members of a group alone; or continues the socket that an earlier supervisor has left there. A
   * client always finds a socket.
   * @throws errno errors
   */
  constructor(link: ShimLink, name: string, path: string, gid: number, report: (problem: string) => void) {
    this.#link = link;
    this.#name = name;
    this.path = path;
    this.#gid = gid;
    this.#report = report;
    const { socket, isNew } = this.#found() ?? this.#listen();
    this.#socket = socket;
    const isLost = !isNew && !this.isPublished();
    if (isLost) this.#socket = this.#listen(true).socket;
    this.isNew = isNew || isLost;
    this.#isUnused = this.isNew;
    link.use("socket", name);
  }

  /** The socket that an earlier supervisor has left, where it is as it was made. */
  #found(): ReturnType<ShimLink["listen"]> | undefined {
    const socket = this.#link.unusedSocket(this.#name);
    const isUnchanged = socket?.path === this.path && !this.#link.isShared(this.#name);
    return isUnchanged ? { socket, isNew: false } : undefined;
  }

  /** A new socket refuses clients until `admit`. */
  #listen(replace = false): { readonly socket: ShimSocket; readonly isNew: boolean } {
    const uid = process.geteuid?.() ?? 0;
    const making = { path: this.path, uid, gid: this.#gid, mode: REFUSES, backlog: BACKLOG };
    return this.#link.listen(this.#name, making, replace);
  }

  isPublished(): boolean {
    return (fileAt(this.path)?.isSocket() ?? false) && !this.#socket.shut;
  }

  /** Changes its file. Skipped where another file has replaced it: the next run publishes a new socket. */
  #changeFile(change: () => void): void {
    if (!fileAt(this.path)?.isSocket()) return;
    try {
      change();
    } catch {
      // It was removed just now, or its file system accepts no changes.
    }
  }

  /** Number of the file that it is bound to, which sock_diag(7) reports for connections to it; 0 for none. */
  get file(): number {
    const found = fileAt(this.path);
    return found ? fileNumber(found) : 0;
  }
  restore(): boolean {
    if (this.#link.isShared(this.#name)) this.#socket = this.#listen().socket;
    return this.isPublished();
  }
  admit(clients: boolean): void {
    this.#isUnused &&= !clients;
    this.#changeFile(() => chmodSync(this.path, clients ? ADMITS : REFUSES));
  }
  refuseWaiting(): void {
    this.#link.ignoreClients(this.#name);
    if (this.#isUnused) return;
    this.#socket = this.#listen().socket;
    // sock_diag(7) takes the longer the more sockets the machine has; the shim looks at this one alone.
    if (this.#socket.queued && this.observe().waiting?.length !== 0) this.#socket = this.#listen(true).socket;
    this.#isUnused = true;
  }
  mark(): void {
    // connect(2) updates an access time that is older than the modification time, also under relatime.
    this.#changeFile(() => utimesSync(this.path, LONG_AGO, Date.now() / 1000));
  }
  observe(): SocketEvidence {
    if (this.#last) return this.#last;
    const queue = this.#isUnused ? [] : queuedClients(this.#socket.inode);
    return {
      waiting: queue?.filter((inode) => inode !== 0),
      queued: queue !== undefined && queue.length > 0,
      touched: (fileAt(this.path)?.atimeMs ?? 0) > LONG_AGO * 1000,
    };
  }
  awaitClient(came: () => void): void {
    this.#link.awaitClient(this.#name, came);
  }
  close(): void {
    this.#link.ignoreClients(this.#name);
    this.#last = this.observe();
    try {
      this.#link.requests.release("socket", this.#name);
    } catch (error) {
      this.#report(`cannot remove its socket: ${messageOf(error)}`);
    }
  }
}
