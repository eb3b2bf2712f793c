/** Measures what an account has put into its directory, up to the limits. */
import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { MIB, writeSize } from "../../core/units.ts";
import { codeOf } from "../kernel/error-code.ts";
import { entriesOf, Overcrowded } from "./entries.ts";

/** Limits of files and their bytes below the directory. */
export const MOST_FILES = 64;
export const MOST_BYTES = MIB;

const TOO_MANY = `more than ${MOST_FILES} files`;
const TOO_LARGE = `more than ${writeSize(MOST_BYTES)}`;
const HIDDEN = "a directory that cannot be read";
/** Errors for a file that the account has removed or replaced meanwhile. */
const CHANGED: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP"]);

/** Which limit the files exceed, in words; undefined where none. Does not follow links. The caller acts as the account. */
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

/** @throws errors that say nothing about the directory */
const failed = (error: unknown): string | undefined => {
  if (error instanceof Overcrowded) return TOO_MANY;
  const code = codeOf(error);
  if (code === "EACCES") return HIDDEN;
  if (CHANGED.has(code)) return undefined;
  throw error;
};
