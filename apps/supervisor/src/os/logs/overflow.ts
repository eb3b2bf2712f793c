/**
 * Empties a log's FIFO that its logger does not read: a daemon must not block for ever on a full disk
 * (docs/explanation/security.md#18). While loggers work nothing is read here; one poll(2) a second finds full FIFOs.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogLoss } from "../../engine/ports/logs.ts";
import { asUser } from "../accounts/as-user.ts";
import { readNow, writeNow } from "../kernel/descriptors.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { fullPipes } from "../kernel/poll.ts";

/** Interval between checks of FIFOs: normally, and while one of them overflows. In ms. */
const LOOK = 1000;
const LOOK_AGAIN = 250;
/** How long a FIFO stays full without a write until it is emptied, where its logger cannot write to disk. In ms. */
export const PATIENCE = 3000;
/** PATIENCE where the logger can write: its compressor may be busy, or its owner may have stopped it. In ms. */
export const LONG_PATIENCE = 60_000;
const NEWLINE = 10;
/** Bytes that a FIFO holds (pipe(7)). */
export const CAPACITY = 64 * 1024;
/** Bytes of an unfinished line that are put back at most. */
const LONGEST_REST = 1024;
/** A disk that cannot store this counts as full. */
const PROBE = Buffer.alloc(4096, "\n");

/** A FIFO to watch. */
interface WatchedLog {
  readonly fd: number;
  /** Account and directory of its logger. */
  readonly identity: FileIdentity;
  readonly directory: string;
}

/** Errors that say nothing about the logger: the probe exists already, or no descriptor is free. */
const INCONCLUSIVE: ReadonlySet<string> = new Set(["EEXIST", "EMFILE", "ENFILE"]);

/** Why its logger cannot write; "" where no reason is known. */
const obstacle = ({ identity, directory }: WatchedLog): string =>
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
      const code = codeOf(error);
      if (INCONCLUSIVE.has(code)) return "";
      return code === "ENOSPC" || code === "EDQUOT" ? `no space left for its log (${code})` : `${directory}: ${code}`;
    }
  });

/** Differs when the logger has written. */
const progress = ({ identity, directory }: WatchedLog): string =>
  asUser(identity, () => {
    try {
      const { ino, size } = lstatSync(join(directory, "current"));
      return `${ino} ${size}`;
    } catch {
      return "";
    }
  });

const newlines = (bytes: Buffer): number => bytes.reduce((count, byte) => (byte === NEWLINE ? count + 1 : count), 0);

/** One log's FIFO: whether it overflows, and how many lines that cost. */
export class Overflow {
  readonly #watched: WatchedLog;
  readonly #report: (problem: string) => void;
  readonly #counted: () => void;
  /** Lines dropped in all, and in this overflow. */
  #lines: number;
  #gap = 0;
  #reason = "";
  #obstructed = false;
  /** While it is full: the time of the last write to it, and since when there was no later one. In ms. */
  #full: { readonly written: number; readonly since: number } | undefined;
  #progress = "";
  /** Rest of the line whose start the logger has read. */
  #rest: Buffer | undefined;
  /** Bytes that were put into the FIFO after it was emptied. */
  #notice: Buffer = Buffer.alloc(0);

  /**
   * @param lines dropped before
   * @param listener `counted` is called when more lines were dropped
   */
  constructor(watched: WatchedLog, lines: number, listener: { report(problem: string): void; counted(): void }) {
    this.#watched = watched;
    this.#lines = lines;
    this.#report = listener.report;
    this.#counted = listener.counted;
  }

  get fd(): number {
    return this.#watched.fd;
  }
  get loss(): LogLoss {
    return { lines: this.#lines, reason: this.#reason };
  }

  /** Examines it. @param full whether writers block @param now in ms */
  look(full: boolean, now: number): void {
    if (this.#reason !== "") this.#continue(full);
    else if (full) this.#examine(now);
    else this.#full = undefined;
  }

  /** A blocked writer writes as soon as anything is read, so a full FIFO without writes has no reader. */
  #examine(now: number): void {
    const written = fstatSync(this.fd).mtimeMs;
    if (this.#full?.written !== written) this.#full = { written, since: now };
    const waited = now - this.#full.since;
    if (waited < PATIENCE) return;
    const reason = obstacle(this.#watched);
    if (reason === "" && waited < LONG_PATIENCE) return;
    this.#obstructed = reason !== "";
    this.#reason = reason || "its logger does not read its input, although it can write its files";
    this.#progress = progress(this.#watched);
    this.#gap = 0;
    this.#rest = undefined;
    this.#notice = Buffer.alloc(0);
    this.#report(`${this.#reason}: dropping and counting the lines that the daemon writes`);
    this.#drain();
  }

  #continue(full: boolean): void {
    const continues = this.#obstructed ? obstacle(this.#watched) === "" : progress(this.#watched) !== this.#progress;
    if (continues) {
      this.#reason = "";
      this.#full = undefined;
      this.#report(`its log is written again; dropped ${this.#gap} lines`);
    } else if (full) this.#drain();
  }

  /** Empties the FIFO and puts in a notice, which the logger reads when it continues. */
  #drain(): void {
    let fd: number;
    try {
      // Not by its path, where another file may be by now.
      fd = openSync(`/proc/self/fd/${this.fd}`, constants.O_RDWR | constants.O_NONBLOCK);
    } catch {
      // No descriptor is free; the next check tries again.
      return;
    }
    try {
      this.#count(newlines(this.#first(take(fd))));
      const whole = this.#text("\n");
      const cut = this.#text("; the next one is cut: ");
      // Quickly from here on: blocked writers write again.
      const rest = take(fd);
      this.#notice = rest.length === 0 || rest.at(-1) === NEWLINE ? whole : cut;
      if (!writeNow(fd, this.#notice)) this.#notice = Buffer.alloc(0);
      this.#count(newlines(rest));
    } finally {
      closeSync(fd);
    }
  }

  /** The bytes to drop, without the previous notice and the rest of the line that the logger has started to read. */
  #first(bytes: Buffer): Buffer {
    const own = this.#notice;
    if (own.length > 0) {
      if (bytes.subarray(0, own.length).equals(own)) return bytes.subarray(own.length);
      // The logger has read a part of it.
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

  /** The notice. It follows the rest of the unfinished line, which would otherwise look like a line. */
  #text(end: string): Buffer {
    const text = `dmhost dropped ${this.#gap} lines or more here: ${this.#reason}${end}`;
    return Buffer.concat([this.#rest ?? Buffer.alloc(0), Buffer.from(text)]);
  }
}

/** Reads what a FIFO holds, up to twice its capacity: writers may be as fast as this reader. */
const take = (fd: number): Buffer => {
  const bytes = Buffer.alloc(2 * CAPACITY);
  let length = 0;
  for (let more = -1; more !== 0 && length < bytes.length; length += more) more = readNow(fd, bytes.subarray(length));
  return bytes.subarray(0, length);
};

/** Watches all FIFOs. No timer runs while there is none. */
export class OverflowWatch {
  readonly #all = new Set<Overflow>();
  #timer: NodeJS.Timeout | undefined;

  add(overflow: Overflow): void {
    this.#all.add(overflow);
    this.#timer ??= setTimeout(() => this.#look(), LOOK).unref();
  }

  /** Call it before the descriptor is closed. */
  remove(overflow: Overflow): void {
    this.#all.delete(overflow);
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#all.size === 0) return;
    const full = new Set(fullPipes([...this.#all].map(({ fd }) => fd)));
    const now = performance.now();
    let busy = false;
    for (const overflow of this.#all) {
      overflow.look(full.has(overflow.fd), now);
      busy ||= overflow.loss.reason !== "";
    }
    this.#timer = setTimeout(() => this.#look(), busy ? LOOK_AGAIN : LOOK).unref();
  }
}
