/** A directory that s6-log keeps, as its owner sees it: which file continues which. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { labelAt } from "../../core/tai64n.ts";
import { asUser } from "../accounts/as-user.ts";
import { entriesOf } from "../files/entries.ts";
import type { FileIdentity } from "../kernel/libc.ts";
import { isCompressed } from "./gzip.ts";

/** The file that is being written. */
export const CURRENT = "current";
/** What s6-log calls a file that has been current and has no name of its own yet. */
const IN_WORK = "previous";
/** Rotated files: finished, or cut off by the death of their logger. */
const ROTATED = /^@[0-9a-f]{24}\.[su]$/;
/** How often a directory that changes while it is looked at is looked at again, and how many names that may come to. */
const TRIES = 20;
const MOST_READ = 20_000;
/** Entries that a directory may have at most: those of the largest `log-files`, and some. */
const MOST = 12_000;

/** A file of a log, open. */
export interface LogFile {
  readonly name: string;
  readonly fd: number;
  /** How many rotated files have been named since it was opened when it gets its own name: 1, or 2 with one in work. */
  readonly turn: number;
  /** The latest rotated file that there was when it was opened; "" where there was none. */
  readonly latest: string;
}

/**
 * A label of the same second or an earlier one. Labels, and so the names of rotated files, sort as their moments do.
 * @param moment in ms since 1970
 */
const secondAt = (moment: number): string => labelAt(moment - (moment % 1000));

/** What is to be read after a file that is over, by a name for `open`. */
export interface Succession {
  readonly name: string;
  /** How many files that would have come before it are gone, as far as they were seen; "some" where none could be. */
  readonly missed: number | "some";
}

/** For one reader. Every method throws errno errors, and Overcrowded where the directory holds more than any log needs. */
export class LogDirectory {
  readonly #identity: FileIdentity;
  readonly #path: string;
  /** Rotated files that were seen and, since something has been read, are still to be read. */
  #ahead: readonly string[] = [];

  constructor(identity: FileIdentity, path: string) {
    this.#identity = identity;
    this.#path = path;
  }

  /** Its rotated files, the oldest first. */
  rotated(): string[] {
    return this.#names().filter((name) => ROTATED.test(name));
  }

  #names(): string[] {
    const entries = asUser(this.#identity, () => entriesOf(this.#path, MOST));
    const names = entries.map(({ name }) => name.toString("latin1")).sort();
    this.#ahead = [...new Set([...this.#ahead, ...names.filter((name) => ROTATED.test(name))])];
    return names;
  }

  /** The first file that may have lines of this moment or later, in ms since 1970. */
  firstSince(moment: number): string {
    return this.rotated().find((name) => name >= secondAt(moment)) ?? CURRENT;
  }

  /** Opens a file; EINVAL for what is no regular file. */
  open(name: string): LogFile {
    if (name === IN_WORK) {
      const latest = this.rotated().at(-1) ?? "";
      return { name: CURRENT, fd: this.#descriptor(name), latest, turn: 1 };
    }
    if (name !== CURRENT) return { name, fd: this.#descriptor(name), latest: "", turn: 1 };
    let before = this.#names();
    let read = before.length;
    for (let tries = 1; ; tries += 1) {
      const fd = this.#descriptor(name);
      const after = this.#names();
      read += after.length;
      // A rotation meanwhile would leave open which file this is.
      if (before.join("/") === after.join("/") || tries === TRIES || read > MOST_READ) {
        const latest = before.findLast((each) => ROTATED.test(each)) ?? "";
        return { name, fd, latest, turn: before.includes(IN_WORK) ? 2 : 1 };
      }
      closeSync(fd);
      before = after;
    }
  }

  /** Opens what was current before this file, where that had no name yet then, and still has none. */
  openInWork({ latest, turn }: LogFile): LogFile | undefined {
    if (turn === 1) return undefined;
    try {
      const file = this.open(IN_WORK);
      if (file.latest === latest) return file;
      closeSync(file.fd);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    return undefined;
  }

  #descriptor(name: string): number {
    const path = join(this.#path, name);
    const fd = asUser(this.#identity, () =>
      openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
    );
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
    throw Object.assign(new Error(`${path} is no regular file`), { code: "EINVAL" });
  }

  /** Whether nothing more will be written to it. */
  isOver({ name, fd }: LogFile): boolean {
    if (name !== CURRENT) return true;
    let now: number | undefined;
    try {
      now = this.#descriptor(CURRENT);
      return fstatSync(now).ino !== fstatSync(fd).ino;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
      throw error;
    } finally {
      if (now !== undefined) closeSync(now);
    }
  }

  /**
   * The file that continues one that is over; undefined while the latter has no name yet. What was current is found by the
   * order of names, for one that has been compressed is another file.
   */
  successor(file: LogFile): Succession | undefined {
    const names = this.#names();
    const rotated = names.filter((name) => ROTATED.test(name));
    const newer = rotated.filter((name) => name > file.latest);
    const own = file.name === CURRENT ? newer[file.turn - 1] : file.name;
    if (own === undefined) return undefined;
    const isLost = file.name === CURRENT && this.#isLost(file, own);
    const newest = names.includes(IN_WORK) ? IN_WORK : CURRENT;
    const name = isLost ? own : (rotated.find((each) => each > own) ?? newest);
    this.#ahead = this.#ahead.filter((each) => each > own);
    if (isLost) return { name, missed: "some" };
    return { name, missed: this.#ahead.filter((each) => each < name).length };
  }

  /** Whether a file that was current has been removed already, so that `own` is a later one. */
  #isLost({ fd }: LogFile, own: string): boolean {
    if (fstatSync(fd).nlink > 0) return false;
    const other = this.#descriptor(own);
    try {
      return !isCompressed(other);
    } finally {
      closeSync(other);
    }
  }
}
