/** Snapshots of all UNIX sockets of this network namespace (sock_diag(7)); callers at about the same time share one. */
import { CpuBudget, type CpuClock, threadClock } from "./cpu-budget.ts";
import { codeOf } from "./error-code.ts";
import { numberOf } from "./file-number.ts";
import {
  ATTRIBUTE,
  allSockets,
  diagnose,
  dumpSockets,
  ESTABLISHED,
  eachAttribute,
  headOf,
  LISTEN,
  SHOW,
  SOCK_STREAM,
} from "./sock-diag.ts";

/** The server's ends of the connections to a socket. */
export interface Connections {
  /** How many, with those that wait to be accepted. */
  readonly count: number;
  /** Inodes of those that a process has accepted. */
  readonly accepted: ReadonlySet<number>;
  /** Whether a process listens on the socket for streams. */
  readonly listening: boolean;
}

/** All UNIX sockets at one moment. */
interface SocketSnapshot {
  /** Whether this kernel offers socket diagnosis; if not, the snapshot seems to have no connections. */
  readonly supported: boolean;
  /** Whether there is a UNIX socket with this inode. */
  has(inode: number): boolean;
  /** Connections to the socket that is bound to the file with this number (fileNumber). */
  to(file: number): Connections;
}

interface Entry {
  accepted: Set<number>;
  /** Connections that wait: the list of them, and their number by the listening socket. */
  listed: number;
  queued: number;
  listening: boolean;
}

/** Age up to which a snapshot is recent. In ms. */
const TICK = 10;
/** Share of the time for snapshots, and the longest one in ms. How many sockets there are is the tenants' choice. */
const SHARE = 0.1;
const BURST = 50;
const LONGEST = 125;
/** Share of the time for queries about single sockets: each takes longer the more sockets there are. */
const QUERY_SHARE = 0.2;
const QUERY_BURST = 500;
/** Pause after a snapshot that took too long; single sockets are queried meanwhile. In ms. */
const REST = 60_000;

/** Errors of a kernel that does not offer socket diagnosis, or does not permit it. */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  "EACCES",
  "EAFNOSUPPORT",
  "ECONNREFUSED",
  "ENOENT",
  "ENOSYS",
  "EOPNOTSUPP",
  "EPERM",
  "EPROTONOSUPPORT",
]);

/** Requests a list from the kernel: calls `take` with each message, until that returns false. */
export type Dump = (request: Uint8Array, take: (message: Buffer) => boolean) => void;

export class SocketSnapshots {
  readonly #dump: Dump;
  readonly #clock: CpuClock;
  readonly #budget: CpuBudget;
  /** Time for all queries about single sockets. */
  readonly queries: CpuBudget;
  #last: SocketSnapshot | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #cost = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;

  constructor(dump: Dump = dumpSockets, clock: CpuClock = threadClock) {
    this.#dump = dump;
    this.#clock = clock;
    this.#budget = new CpuBudget(SHARE, BURST, clock);
    this.queries = new CpuBudget(QUERY_SHARE, QUERY_BURST, clock);
  }

  /** A snapshot of this moment or shortly before; undefined where a new one would cost too much, or failed. */
  recent(): SocketSnapshot | undefined {
    if (this.#clock.now() < this.#pausedUntil) return undefined;
    if (this.#clock.now() - this.#lastAt < TICK) return this.#last;
    return this.#budget.balance > 0 ? this.#take() : undefined;
  }

  /**
   * A snapshot of `moment` or later. It may overdraw the budget: its caller has had a recent one, which may have used it up.
   * @param moment by the clock, in ms
   */
  since(moment: number): SocketSnapshot | undefined {
    if (this.#clock.now() < this.#pausedUntil) return undefined;
    if (this.#lastAt >= moment) return this.#last;
    return this.#budget.balance > -2 * this.#cost ? this.#take() : undefined;
  }

  #take(): SocketSnapshot | undefined {
    this.#lastAt = this.#clock.now();
    const before = this.#clock.used();
    this.#last = this.#budget.charge(() => this.#read());
    this.#cost = this.#clock.used() - before;
    return this.#last;
  }

  #read(): SocketSnapshot | undefined {
    const inodes = new Set<number>();
    const files = new Map<number, Entry>();
    let whole = true;
    try {
      this.#dump(allSockets(), (message) => {
        count(message, inodes, files);
        whole = this.#clock.now() - this.#lastAt < LONGEST;
        return whole;
      });
    } catch (error) {
      // Any other error, such as a lack of descriptors or memory, says nothing about the kernel: the next one may succeed.
      if (!UNSUPPORTED.has(codeOf(error))) return undefined;
      return { supported: false, has: () => true, to: () => NONE };
    }
    if (whole) return { supported: true, has: (inode) => inodes.has(inode), to: (file) => connections(files, file) };
    this.#pausedUntil = this.#clock.now() + REST;
    return undefined;
  }
}

const NONE: Connections = { count: 0, accepted: new Set(), listening: false };

const connections = (files: ReadonlyMap<number, Entry>, file: number): Connections => {
  const entry = files.get(file);
  if (!entry) return NONE;
  const { accepted, listed, queued, listening } = entry;
  // The kernel lists a waiting connection in the network namespace of its client; the queue counts all of them.
  return { count: accepted.size + Math.max(listed, queued), accepted, listening };
};

/** `queue`: a listener with clients in its accept queue; `elsewhere`: a socket of another network namespace. */
export type Role = "client" | "listener" | "queue" | "elsewhere" | "other";

const ENOENT = 2;

/**
 * The role of the UNIX socket with this inode for the socket that is bound to `file`. Costs far less than a snapshot.
 * @throws errno errors where the kernel cannot be queried
 */
export const roleOf = (inode: number, file: number): Role => {
  const message = diagnose(inode, SHOW.file | SHOW.queue);
  if (message === ENOENT) return "elsewhere";
  if (message === undefined || typeof message === "number") return "other";
  const { type, state } = headOf(message);
  const [bound, queued] = fileAndQueue(message);
  if (type !== SOCK_STREAM || bound !== file) return "other";
  if (state === ESTABLISHED) return "client";
  if (state !== LISTEN) return "other";
  return queued > 0 ? "queue" : "listener";
};

const count = (message: Buffer, inodes: Set<number>, files: Map<number, Entry>): void => {
  const { type, state, inode } = headOf(message);
  if (inode !== 0) inodes.add(inode);
  if (type !== SOCK_STREAM || (state !== ESTABLISHED && state !== LISTEN)) return;
  const [file, queued] = fileAndQueue(message);
  if (file === undefined) return;
  const entry = files.get(file) ?? { accepted: new Set<number>(), listed: 0, queued: 0, listening: false };
  files.set(file, entry);
  if (state === LISTEN) {
    entry.listening = true;
    entry.queued += queued;
  } else if (inode === 0) entry.listed += 1;
  else entry.accepted.add(inode);
};

/** Number of the file that a socket, or the listener that accepted it, is bound to; and the length of its accept queue. */
const fileAndQueue = (message: Buffer): [file: number | undefined, queued: number] => {
  let file: number | undefined;
  let queued = 0;
  eachAttribute(message, (type, start, end) => {
    if (type === ATTRIBUTE.file && end - start >= 8) {
      file = numberOf(message.readUInt32LE(start), message.readUInt32LE(start + 4));
    }
    if (type === ATTRIBUTE.queue && end - start >= 4) queued = message.readUInt32LE(start);
  });
  return [file, queued];
};
