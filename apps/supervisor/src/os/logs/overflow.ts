/**
 * What becomes of a log's FIFO that nobody empties: a daemon must not wait for ever for a full disk
 * (docs/explanation/security.md#18). While loggers do their work nothing is read here: now and then one poll(2) tells
 * which FIFOs are full.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogLoss } from "../../engine/ports/logs.ts";
import { asUser } from "../accounts/as-user.ts";
import { type FileIdentity, fullOnes, readAtOnce, writeAtOnce } from "../kernel/libc.ts";

/** How often FIFOs are looked at, and how often while one of them overflows. In ms. */
const LOOK = 1000;
const LOOK_AGAIN = 250;
/** How long a FIFO may be full and nothing have been written to it before it is emptied, where the logger cannot write. In ms. */
const PATIENCE = 3000;
/** The same where it could: its compressor may be at work, its owner may have stopped it. */
const LONG_PATIENCE = 60_000;
const NEWLINE = 10;
/** What a FIFO holds (pipe(7)), in bytes. */
const CAPACITY = 64 * 1024;
/** Longest end of a line that is put back, in bytes. */
const LONGEST_REST = 1024;
/** A file that a disk must take not to count as full. */
const PROBE = Buffer.alloc(4096, "\n");

/** A FIFO that is watched. */
export interface Watched {
  readonly fd: number;
  /** Who its logger runs as, and where that writes. */
  readonly identity: FileIdentity;
  readonly directory: string;
}

/** What says nothing of the logger: the file is there, or there is no descriptor for it. */
const UNTOLD: ReadonlySet<string> = new Set(["EEXIST", "EMFILE", "ENFILE"]);

/** Why its logger cannot write; "" where it can, for all that is known. */
const obstacle = ({ identity, directory }: Watched): string =>
  asUser(identity, () => {
    const path = join(directory, `.${process.pid}~`);
    try {
      const fd = openSync(
        path,
        constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o600,
      );
      try {
        for (let done = 0; done < PROBE.length; ) done += writeSync(fd, PROBE, done);
      } finally {
        closeSync(fd);
        rmSync(path, { force: true });
      }
      return "";
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (UNTOLD.has(code)) return "";
      return code === "ENOSPC" || code === "EDQUOT" ? `no space left for its log (${code})` : `${directory}: ${code}`;
    }
  });

/** Differs when the logger has written. */
const progress = ({ identity, directory }: Watched): string =>
  asUser(identity, () => {
    try {
      const { ino, size } = lstatSync(join(directory, "current"));
      return `${ino} ${size}`;
    } catch {
      return "";
    }
  });

const newlines = (bytes: Buffer): number => bytes.reduce((count, byte) => (byte === NEWLINE ? count + 1 : count), 0);

/** One log's FIFO: whether it overflows, and what that has cost. */
export class Overflow {
  readonly #watched: Watched;
  readonly #report: (problem: string) => void;
  readonly #counted: () => void;
  /** Lines dropped in all, and since it began to overflow. */
  #lines: number;
  #gap = 0;
  #reason = "";
  #obstructed = false;
  /** While it is full: when it was written to last, and since when that is so. */
  #full: { readonly written: number; readonly since: number } | undefined;
  #progress = "";
  /** The end of the line whose beginning the logger has read already. */
  #rest: Buffer | undefined;
  /** What was left in the FIFO when it had been emptied. */
  #notice: Buffer = Buffer.alloc(0);

  /**
   * @param lines how many were dropped before
   * @param tells `counted` is called when there are more
   */
  constructor(watched: Watched, lines: number, tells: { report(problem: string): void; counted(): void }) {
    this.#watched = watched;
    this.#lines = lines;
    this.#report = tells.report;
    this.#counted = tells.counted;
  }

  get fd(): number {
    return this.#watched.fd;
  }
  get loss(): LogLoss {
    return { lines: this.#lines, reason: this.#reason };
  }

  /** Looks after it. `full`: whether writers wait; `now` in ms. */
  look(full: boolean, now: number): void {
    if (this.#reason !== "") this.#goOn(full);
    else if (full) this.#examine(now);
    else this.#full = undefined;
  }

  /** Who waits to write does so as soon as anything is read: a full FIFO that nobody writes to is one that nobody reads. */
  #examine(now: number): void {
    const written = fstatSync(this.fd).mtimeMs;
    if (this.#full?.written !== written) this.#full = { written, since: now };
    const waited = now - this.#full.since;
    if (waited < PATIENCE) return;
    const reason = obstacle(this.#watched);
    if (reason === "" && waited < LONG_PATIENCE) return;
    this.#obstructed = reason !== "";
    this.#reason = reason || "its logger does not go on, though it could write";
    this.#progress = progress(this.#watched);
    this.#gap = 0;
    this.#rest = undefined;
    this.#notice = Buffer.alloc(0);
    this.#report(`${this.#reason}: what the daemon writes meanwhile is dropped and counted`);
    this.#drain();
  }

  #goOn(full: boolean): void {
    const goesOn = this.#obstructed ? obstacle(this.#watched) === "" : progress(this.#watched) !== this.#progress;
    if (goesOn) {
      this.#reason = "";
      this.#full = undefined;
      this.#report(`its log is written again; ${this.#gap} lines were dropped`);
    } else if (full) this.#drain();
  }

  /** Takes out what the FIFO holds, and leaves in it what the logger will read first when it goes on. */
  #drain(): void {
    let fd: number;
    try {
      // Not by its path, which may be gone, or another's by now.
      fd = openSync(`/proc/self/fd/${this.fd}`, constants.O_RDWR | constants.O_NONBLOCK);
    } catch {
      // There is no descriptor for it: the next look may have one.
      return;
    }
    try {
      this.#count(newlines(this.#first(take(fd))));
      const whole = this.#text("\n");
      const cut = this.#text("; the next one is cut: ");
      // From here on it has to be quick: whoever waited to write is at it again.
      const rest = take(fd);
      this.#notice = rest.length === 0 || rest.at(-1) === NEWLINE ? whole : cut;
      if (!writeAtOnce(fd, this.#notice)) this.#notice = Buffer.alloc(0);
      this.#count(newlines(rest));
    } finally {
      closeSync(fd);
    }
  }

  /** What of the bytes is to be dropped: not what was left there before, nor the end of the line that the logger is in. */
  #first(bytes: Buffer): Buffer {
    const own = this.#notice;
    if (own.length > 0) {
      if (bytes.subarray(0, own.length).equals(own)) return bytes.subarray(own.length);
      // The logger has come a little further.
      this.#rest = undefined;
    }
    if (this.#rest !== undefined) return bytes;
    const end = bytes.indexOf(NEWLINE) + 1;
    this.#rest = end > 0 && end <= LONGEST_REST ? bytes.subarray(0, end) : Buffer.from("\n");
    return bytes.subarray(end > LONGEST_REST ? 0 : end);
  }

  #count(lines: number): void {
    this.#gap += lines;
    this.#lines += lines;
    if (lines > 0) this.#counted();
  }

  /** A line cut in two would be taken for another one, so its end is told as what it is. */
  #text(end: string): Buffer {
    const text = `dmhost dropped ${this.#gap} lines or more here: ${this.#reason}${end}`;
    return Buffer.concat([this.#rest ?? Buffer.alloc(0), Buffer.from(text)]);
  }
}

/** What a FIFO holds, and not much more than fits into it: who writes may be as fast as its reader. */
const take = (fd: number): Buffer => {
  const bytes = Buffer.alloc(2 * CAPACITY);
  let length = 0;
  for (let more = -1; more !== 0 && length < bytes.length; length += more)
    more = readAtOnce(fd, bytes.subarray(length));
  return bytes.subarray(0, length);
};

/** All FIFOs together. No timer runs while there is none. */
export class OverflowWatch {
  readonly #all = new Set<Overflow>();
  #timer: NodeJS.Timeout | undefined;

  add(overflow: Overflow): void {
    this.#all.add(overflow);
    this.#timer ??= setTimeout(() => this.#look(), LOOK).unref();
  }

  /** To be called before its descriptor is closed. */
  remove(overflow: Overflow): void {
    this.#all.delete(overflow);
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#all.size === 0) return;
    const full = new Set(fullOnes([...this.#all].map(({ fd }) => fd)));
    const now = performance.now();
    let busy = false;
    for (const overflow of this.#all) {
      overflow.look(full.has(overflow.fd), now);
      busy ||= overflow.loss.reason !== "";
    }
    this.#timer = setTimeout(() => this.#look(), busy ? LOOK_AGAIN : LOOK).unref();
  }
}
