/** How much an account has put into a directory that it was given: counted no further than to what is too much. */
import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { MIB, writeSize } from "../../core/units.ts";
import { entriesOf, Overcrowded } from "./entries.ts";

/** What there may be in all, besides the directory. */
const MOST_FILES = 64;
const MOST_BYTES = MIB;

const TOO_MANY = `more than ${MOST_FILES} files`;
const TOO_LARGE = `more than ${writeSize(MOST_BYTES)}`;
const HIDDEN = "a directory that cannot be looked into";
/** What becomes of a file that the account has taken away meanwhile, or put another in its place. */
const CHANGED: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

/** What of the files there is too much, in words; undefined where nothing is. Links are not followed. `asUser` is its caller's to say. */
export const excessIn = (directory: string): string | undefined => {
  let [files, bytes] = [0, 0];
  const look = (inside: string): string | undefined => {
    for (const { name } of entriesOf(inside, MOST_FILES - files)) {
      files += 1;
      if (files > MOST_FILES) return TOO_MANY;
      const path = Buffer.concat([Buffer.from(`${inside}/`), name]);
      const found = lstatSync(path, { throwIfNoEntry: false });
      bytes += (found?.blocks ?? 0) * BLOCK;
      if (bytes > MOST_BYTES) return TOO_LARGE;
      const excess = found?.isDirectory() ? within(path) : undefined;
      if (excess !== undefined) return excess;
    }
    return undefined;
  };
  const within = (path: Buffer): string | undefined => {
    let fd: number | undefined;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      return look(`/proc/self/fd/${fd}`);
    } catch (error) {
      return failed(error);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  };
  try {
    return look(directory);
  } catch (error) {
    return failed(error);
  }
};

/** Of st_blocks (stat(2)). */
const BLOCK = 512;

/** @throws what says nothing about the directory */
const failed = (error: unknown): string | undefined => {
  if (error instanceof Overcrowded) return TOO_MANY;
  const { code = "" } = error as NodeJS.ErrnoException;
  if (code === "EACCES") return HIDDEN;
  if (CHANGED.has(code)) return undefined;
  throw error;
};
