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

/**
 * The text of a plain file. Follows no link at its name, and waits for nobody.
 * @throws Error where it is no plain file, or has more than `largest` bytes; errno errors
 */
export const readPlainFile = (path: string, largest: number): string => {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw new Error("it is not a plain file");
    if (stats.size > largest) throw new Error(`it has ${stats.size} bytes`);
    const text = Buffer.alloc(stats.size);
    return text.toString("utf8", 0, readSync(fd, text, 0, text.length, 0));
  } finally {
    closeSync(fd);
  }
};

/** The same of a file that another account may have made; "" where it cannot be read. */
export const readForeignFile = (path: string, largest: number): string => {
  try {
    return readPlainFile(path, largest);
  } catch {
    return "";
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
