/** A directory of s6-log, read as its owner: which file continues which. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { labelAt, labelOf } from "../../core/tai64n.ts";
import { asUser } from "../accounts/as-user.ts";
import { entriesOf } from "../files/entries.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { isCompressed } from "./gzip.ts";

/** Name of the file that s6-log writes. */
export const CURRENT = "current";
/** Name of the file that was current, until s6-log gives it its final name. */
const IN_WORK = "previous";
/** What follows the label in the names of rotated files: finished, or cut off when their logger was killed. */
const ENDS: readonly string[] = [".s", ".u"];
/** Attempts to read a directory that changes meanwhile, and names that all attempts may read together. */
const TRIES = 20;
const MOST_READ = 20_000;
/** Entries of a directory at most: those of the largest `log-files`, and some more. */
const MOST = 12_000;

/** An open file of a log. */
export interface LogFile {
  readonly name: string;
  readonly fd: number;
  /**
   * Number of rotated files that get their final names from its opening up to its own rotation: 1, or 2 with an earlier one
   * in work.
   */
  readonly turn: number;
  /** Name of the latest rotated file when it was opened; "" where there was none. */
  readonly latest: string;
}

/**
 * A label of the same second or an earlier one. Labels, and so the names of rotated files, sort by time.
 * @param moment in ms since 1970
 */
const secondAt = (moment: number): string => labelAt(moment - (moment % 1000));

const isRotated = (name: string): boolean => {
  const label = labelOf(name);
  return label !== undefined && ENDS.includes(name.slice(label.length));
};

/** The file to read after a finished one. */
export interface Succession {
  /** For `open`. */
  readonly name: string;
  /** Number of files before it that were removed unread, as far as they were seen; "some" where the number is unknown. */
  readonly missed: number | "some";
}

/** A log's directory, for one reader. Methods throw errno errors, and Overcrowded for a directory with too many entries. */
export class LogDirectory {
  readonly #identity: FileIdentity;
  readonly #path: string;
  /** Rotated files that were seen and are still to be read. */
  #ahead: readonly string[] = [];

  constructor(identity: FileIdentity, path: string) {
    this.#identity = identity;
    this.#path = path;
  }

  /** Its rotated files, the oldest first. */
  rotated(): string[] {
    return this.#names().filter(isRotated);
  }

  #names(): string[] {
    const entries = asUser(this.#identity, () => entriesOf(this.#path, MOST));
    const names = entries.map(({ name }) => name.toString("latin1")).sort();
    this.#ahead = [...new Set([...this.#ahead, ...names.filter(isRotated)])];
    return names;
  }

  /** The first file that may have lines of this moment or later, in ms since 1970. */
  firstSince(moment: number): string {
    return this.rotated().find((name) => name >= secondAt(moment)) ?? CURRENT;
  }

  /** Opens a file. @throws EINVAL for a file that is not regular */
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
      // After a rotation meanwhile it would be unclear which file this is.
      if (before.join("/") === after.join("/") || tries === TRIES || read > MOST_READ) {
        const latest = before.findLast(isRotated) ?? "";
        return { name, fd, latest, turn: before.includes(IN_WORK) ? 2 : 1 };
      }
      closeSync(fd);
      before = after;
    }
  }

  /** Opens the file that was current before this one, if it had no final name at that time and still has none. */
  openInWork({ latest, turn }: LogFile): LogFile | undefined {
    if (turn === 1) return undefined;
    try {
      const file = this.open(IN_WORK);
      if (file.latest === latest) return file;
      closeSync(file.fd);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
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

  /** Whether s6-log will write nothing more to it. */
  isOver({ name, fd }: LogFile): boolean {
    if (name !== CURRENT) return true;
    let current: number | undefined;
    try {
      current = this.#descriptor(CURRENT);
      return fstatSync(current).ino !== fstatSync(fd).ino;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return true;
      throw error;
    } finally {
      if (current !== undefined) closeSync(current);
    }
  }

  /**
   * The file that continues a finished one; undefined while that has no final name. Names show where a formerly current
   * file is now: compressing it makes a new file with another inode.
   */
  successor(file: LogFile): Succession | undefined {
    const names = this.#names();
    const rotated = names.filter(isRotated);
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

  /** Whether a formerly current file was removed already, so that `own` is a later one. */
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
