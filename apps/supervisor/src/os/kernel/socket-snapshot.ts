/** Every UNIX socket of this network namespace as the kernel tells of them (sock_diag(7)): one look for all who ask at a time. */

import { CpuBudget } from "./cpu-budget.ts";
import { askSocketDiagnosis, dumpSocketDiagnosis } from "./libc.ts";
import { privileged } from "./privileges.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const REQUEST = 0x001;
const DUMP = 0x301;
const NLMSG_ERROR = 2;
const ENOENT = 2;
const AF_UNIX = 1;
const ALL_STATES = 0xffff_ffff;
const UDIAG_SHOW_VFS = 0x02;
const UDIAG_SHOW_RQLEN = 0x10;
const UNIX_DIAG_VFS = 1;
const UNIX_DIAG_RQLEN = 4;
const ESTABLISHED = 1;
const LISTEN = 10;
const SOCK_STREAM = 1;

/**
 * One number for a file that a socket is bound to: inodes have equal numbers on different file systems. Where a user runs this
 * for itself alone it is the inode, for on some disks the kernel names another device than stat(2).
 */
export const fileNumber = ({ ino, dev }: { readonly ino: number; readonly dev: number }): number =>
  numberOf(ino, kernelDevice(dev));
const numberOf = (inode: number, device: number): number =>
  (privileged ? (device % 2 ** 20) * 2 ** 32 : 0) + (inode % 2 ** 32);

/** A device number as the kernel has it: 12 bits for the kind, 20 for the one (makedev(3) mixes them). */
export const kernelDevice = (dev: number): number => {
  const major = (dev >>> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  return ((major << 20) | minor) >>> 0;
};

/** The server's ends of the connections to a socket. */
export interface Connections {
  /** How many, those that wait to be accepted included. */
  readonly count: number;
  /** Inodes of those that a process has accepted. */
  readonly accepted: ReadonlySet<number>;
  /** Whether anybody listens there for streams. */
  readonly listening: boolean;
}

/** What there was at one moment. */
export interface Census {
  /** Whether the kernel told. If not, there seems to be nothing. */
  readonly told: boolean;
  /** Whether there is a UNIX socket with this inode of its own. */
  has(inode: number): boolean;
  /** About the socket that is bound to the file with this number (fileNumber). */
  to(file: number): Connections;
}

interface Entry {
  accepted: Set<number>;
  /** Connections that wait: as they are listed, and as the listening socket counts them. */
  listed: number;
  queued: number;
  listening: boolean;
}

/** How long one look serves others who ask. In ms. */
const TICK = 10;
/** How much of the time may go into looks, and what one may take besides. How many sockets there are is the tenants' choice. */
const SHARE = 0.1;
const BURST = 50;
const LONGEST = 125;
/** The same for questions about single sockets: each takes the longer the more there are. */
const ASKING_SHARE = 0.2;
const ASKING_BURST = 500;
/** How long nobody looks after a look that was broken off: whoever asks meanwhile asks about single sockets. In ms. */
const REST = 60_000;

/** What becomes of a question to a kernel that does not know socket diagnosis, or does not let us ask. */
const UNTOLD: ReadonlySet<string> = new Set([
  "EACCES",
  "EAFNOSUPPORT",
  "ECONNREFUSED",
  "ENOENT",
  "ENOSYS",
  "EOPNOTSUPP",
  "EPERM",
  "EPROTONOSUPPORT",
]);

/** Where the kernel is asked: calls `take` with each message, until that returns false. */
export type Dump = (request: Uint8Array, take: (message: Buffer) => boolean) => void;

export class SocketSnapshots {
  readonly #dump: Dump;
  readonly #clock: () => number;
  readonly #budget: CpuBudget;
  /** Time for all who ask about single sockets instead. */
  readonly asking: CpuBudget;
  #last: Census | undefined;
  #begun = Number.NEGATIVE_INFINITY;
  #cost = 0;
  #rested = Number.NEGATIVE_INFINITY;

  /** @param clock in ms */
  constructor(dump: Dump = dumpSocketDiagnosis, clock: () => number = () => performance.now()) {
    this.#dump = dump;
    this.#clock = clock;
    this.#budget = new CpuBudget(SHARE, BURST, clock);
    this.asking = new CpuBudget(ASKING_SHARE, ASKING_BURST, clock);
  }

  /** What there was a moment ago; undefined where another look now would cost too much, or could not be had. */
  recent(): Census | undefined {
    if (this.#clock() < this.#rested) return undefined;
    if (this.#clock() - this.#begun < TICK) return this.#last;
    return this.#budget.balance > 0 ? this.#look() : undefined;
  }

  /**
   * What there was at `moment` or later. It is granted to those who have had a recent one, which may have eaten up what
   * there was to spend.
   */
  since(moment: number): Census | undefined {
    if (this.#clock() < this.#rested) return undefined;
    if (this.#begun >= moment) return this.#last;
    return this.#budget.balance > -2 * this.#cost ? this.#look() : undefined;
  }

  #look(): Census | undefined {
    this.#begun = this.#clock();
    this.#last = this.#budget.charge(() => this.#count());
    this.#cost = this.#clock() - this.#begun;
    return this.#last;
  }

  #count(): Census | undefined {
    const inodes = new Set<number>();
    const files = new Map<number, Entry>();
    let whole = true;
    try {
      this.#dump(everySocket(), (message) => {
        count(message, inodes, files);
        whole = this.#clock() - this.#begun < LONGEST;
        return whole;
      });
    } catch (error) {
      // Any other, as for want of a descriptor or memory, says nothing of the kernel: the next look may succeed.
      if (!UNTOLD.has((error as NodeJS.ErrnoException).code ?? "")) return undefined;
      return { told: false, has: () => true, to: () => NOBODY };
    }
    if (whole) return { told: true, has: (inode) => inodes.has(inode), to: (file) => connections(files, file) };
    this.#rested = this.#clock() + REST;
    return undefined;
  }
}

const NOBODY: Connections = { count: 0, accepted: new Set(), listening: false };

const connections = (files: ReadonlyMap<number, Entry>, file: number): Connections => {
  const entry = files.get(file);
  if (!entry) return NOBODY;
  const { accepted, listed, queued, listening } = entry;
  // The kernel lists a connection in the network namespace of its client; the queue has them all.
  return { count: accepted.size + Math.max(listed, queued), accepted, listening };
};

const everySocket = (): Buffer => requestOf(DUMP, 0);

/** @param inode of the one socket that is asked for; 0 with DUMP */
const requestOf = (flags: number, inode: number): Buffer => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(flags, 6);
  request.writeUInt8(AF_UNIX, 16);
  request.writeUInt32LE(ALL_STATES, 20);
  request.writeUInt32LE(inode, 24);
  request.writeUInt32LE(UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN, 28);
  request.fill(0xff, 32);
  return request;
};

/** `queue` is a listener with connections that wait in it; `elsewhere` a socket of another network namespace. */
export type Role = "client" | "listener" | "queue" | "elsewhere" | "other";

/**
 * What the UNIX socket with this inode is to clients of the socket that is bound to `file`. To ask for one costs far less
 * than to look at all there are.
 * @throws errno errors where the kernel does not tell
 */
export const roleOf = (inode: number, file: number): Role => {
  const answer = askSocketDiagnosis(requestOf(REQUEST, inode));
  const kind = answer.length >= 20 ? answer.readUInt16LE(4) : 0;
  if (kind === NLMSG_ERROR) return answer.readInt32LE(16) === -ENOENT ? "elsewhere" : "other";
  if (kind !== SOCK_DIAG_BY_FAMILY || answer.length < 32) return "other";
  const message = answer.subarray(0, answer.readUInt32LE(0));
  const [type, state] = [message.readUInt8(17), message.readUInt8(18)];
  const [bound, queued] = attributes(message);
  if (type !== SOCK_STREAM || bound !== file) return "other";
  if (state === ESTABLISHED) return "client";
  if (state !== LISTEN) return "other";
  return queued > 0 ? "queue" : "listener";
};

const count = (message: Buffer, inodes: Set<number>, files: Map<number, Entry>): void => {
  const [type, state, own] = [message.readUInt8(17), message.readUInt8(18), message.readUInt32LE(20)];
  if (own !== 0) inodes.add(own);
  if (type !== SOCK_STREAM || (state !== ESTABLISHED && state !== LISTEN)) return;
  const [file, queued] = attributes(message);
  if (file === undefined) return;
  const entry = files.get(file) ?? { accepted: new Set<number>(), listed: 0, queued: 0, listening: false };
  files.set(file, entry);
  if (state === LISTEN) {
    entry.listening = true;
    entry.queued += queued;
  } else if (own === 0) entry.listed += 1;
  else entry.accepted.add(own);
};

/** Number of the file that a socket, or the one it was accepted from, is bound to; and how long its queue is. */
const attributes = (message: Buffer): [file: number | undefined, queued: number] => {
  let file: number | undefined;
  let queued = 0;
  for (let at = 32; at + 8 <= message.length; ) {
    const length = message.readUInt16LE(at);
    const type = message.readUInt16LE(at + 2);
    if (type === UNIX_DIAG_VFS && length >= 12)
      file = numberOf(message.readUInt32LE(at + 4), message.readUInt32LE(at + 8));
    if (type === UNIX_DIAG_RQLEN) queued = message.readUInt32LE(at + 4);
    at += Math.max(4, (length + 3) & ~3);
  }
  return [file, queued];
};
