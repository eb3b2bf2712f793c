/** Reading a log with its owner's authority, from any line on, and following it through its rotated files. */
import { closeSync, constants, fstatSync, lstatSync, openSync, read, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { FileIdentity } from "./libc.ts";
import { asUser } from "./tenant.ts";

const CHUNK = 64 * 1024;
/** How often a log that is being followed is looked at, in ms. */
const LOOK = 200;
const NEWLINE = 10;
/**
 * How far back from its end a log is searched, in bytes: twice what is kept in one file. Its owner may have put a file of
 * any size there, and everybody waits for the search.
 */
const FARTHEST = 2 * 1024 * 1024;

const readAt = promisify(read);

/** Where to begin: with the last `lines` lines, or the start of the current file; and whether to stay for what comes. */
export interface LogPosition {
  readonly lines: number | undefined;
  readonly follow: boolean;
  /** Asked before each piece: when it is no longer true, that was the end. */
  readonly permitted?: () => boolean;
}

const openLog = (identity: FileIdentity, path: string): number =>
  asUser(identity, () => {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
    throw Object.assign(new Error(`${path} is no regular file`), { code: "EINVAL" });
  });

/** Offset at which the last `lines` lines begin, or those of them that are within FARTHEST of the end; a line that has no end yet counts. */
const offsetOfLast = (fd: number, lines: number): number => {
  let offset = fstatSync(fd).size;
  const start = Math.max(0, offset - FARTHEST);
  const chunk = Buffer.alloc(CHUNK);
  // The end of the last line is not the beginning of another.
  let wanted = lines + 1;
  if (offset > 0) {
    readSync(fd, chunk, 0, 1, offset - 1);
    if (chunk[0] !== NEWLINE) wanted = lines;
  }
  if (lines === 0) return offset;
  while (offset > start) {
    const length = Math.min(CHUNK, offset - start);
    offset -= length;
    readSync(fd, chunk, 0, length, offset);
    for (let at = chunk.lastIndexOf(NEWLINE, length - 1); at >= 0; at = chunk.lastIndexOf(NEWLINE, at - 1)) {
      wanted -= 1;
      if (wanted === 0) return offset + at + 1;
      if (at === 0) break;
    }
  }
  return start;
};

/** The file that continues the one with this inode: the next rotated one, or the current one. */
const successor = (identity: FileIdentity, directory: string, inode: number): string | undefined =>
  asUser(identity, () => {
    const rotated = readdirSync(directory)
      .filter((name) => /^@[0-9a-f]{24}\.[su]$/.test(name))
      .sort();
    const names = [...rotated, "current"];
    const inodeOf = (name: string) => lstatSync(join(directory, name), { throwIfNoEntry: false })?.ino;
    const next = names[names.findIndex((name) => inodeOf(name) === inode) + 1];
    return next === undefined ? undefined : join(directory, next);
  });

/**
 * The bytes of a log, at most 64 KiB at a time and read no faster than they are taken.
 * @throws errno errors when the log cannot be opened
 */
export async function* readLog(
  identity: FileIdentity,
  directory: string,
  from: LogPosition,
): AsyncGenerator<Buffer, void, void> {
  let fd = openLog(identity, join(directory, "current"));
  try {
    let offset = from.lines === undefined ? 0 : offsetOfLast(fd, from.lines);
    while (from.permitted?.() !== false) {
      const { bytesRead, buffer } = await readAt(fd, Buffer.alloc(CHUNK), 0, CHUNK, offset);
      if (bytesRead > 0) {
        offset += bytesRead;
        yield buffer.subarray(0, bytesRead);
        continue;
      }
      if (!from.follow) return;
      const next = successor(identity, directory, fstatSync(fd).ino);
      if (next === undefined || fstatSync(fd).size > offset) {
        await sleep(LOOK);
        continue;
      }
      const following = openLog(identity, next);
      closeSync(fd);
      fd = following;
      offset = 0;
    }
  } finally {
    closeSync(fd);
  }
}
