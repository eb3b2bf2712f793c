/** Files that are read and replaced as a whole. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";

/** SHA-256 of a text, in hexadecimal digits. */
export const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The text of a file that another account may have made; "" where it is no plain file, or has more than `largest` bytes. */
export const readForeignFile = (path: string, largest: number): string => {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > largest) return "";
    const text = Buffer.alloc(stats.size);
    return text.toString("utf8", 0, readSync(fd, text, 0, text.length, 0));
  } catch {
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
};

/** Replaces a file in a directory of the supervisor's. @throws errno errors; then the file is as before */
export const replaceFile = (path: string, text: string, mode: number): void => {
  try {
    writeFileSync(`${path}~`, text);
    chmodSync(`${path}~`, mode);
    renameSync(`${path}~`, path);
  } catch (error) {
    rmSync(`${path}~`, { force: true });
    throw error;
  }
};
