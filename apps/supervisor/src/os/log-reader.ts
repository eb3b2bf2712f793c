/** Reading a log with its owner's authority, from any line on, and following it through its rotated files. */
import { closeSync, read } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { inflated, isCompressed } from "./gzip.ts";
import type { FileIdentity } from "./libc.ts";
import { CURRENT, LogDirectory, type LogFile } from "./log-directory.ts";
import { openLast } from "./log-end.ts";

const CHUNK = 64 * 1024;
/** How often a log that is being followed is looked at, in ms. */
const LOOK = 200;
/** Looks after which a file that was rotated and has got no name is taken for removed. */
const LOOKS = 10;

const readAt = promisify(read);

/** Where to begin, and whether to stay for what comes. */
export interface LogPosition {
  /** With that many of the last lines; undefined is the start of the current file, unless `since` says otherwise. */
  readonly lines: number | undefined;
  /** With the first file that may have lines of this time or later, in ms since 1970; 0 is the oldest file. */
  readonly since: number | undefined;
  readonly follow: boolean;
  /** Asked before each piece: when it is no longer true, that was the end. */
  readonly permitted?: () => boolean;
}

async function* bytesOf(
  fd: number,
  at: { offset: number },
  permitted: () => boolean,
): AsyncGenerator<Buffer, void, void> {
  while (permitted()) {
    const { bytesRead, buffer } = await readAt(fd, Buffer.alloc(CHUNK), 0, CHUNK, at.offset);
    if (bytesRead === 0) return;
    at.offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

const begin = (directory: LogDirectory, { lines, since }: LogPosition): { file: LogFile; offset: number } => {
  if (lines !== undefined) return openLast(directory, lines);
  return { file: directory.open(since === undefined ? CURRENT : directory.firstSince(since)), offset: 0 };
};

/**
 * Opens the file after one that is over. It may be removed or renamed at any moment, so it is looked for more than once.
 * @throws errno errors, ENOENT when the log is gone
 */
const openNext = async (directory: LogDirectory, file: LogFile): Promise<LogFile> => {
  for (let look = 1; look < LOOKS; look += 1) {
    try {
      const name = directory.successor(file);
      if (name !== undefined) return directory.open(name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    await sleep(LOOK);
  }
  return directory.open(CURRENT);
};

/**
 * The bytes of a log, at most 64 KiB at a time and read no faster than they are taken; compressed files as what they were.
 * @throws errno errors when the log cannot be opened
 */
export async function* readLog(
  identity: FileIdentity,
  path: string,
  from: LogPosition,
): AsyncGenerator<Buffer, void, void> {
  const permitted = from.permitted ?? (() => true);
  const directory = new LogDirectory(identity, path);
  const begun = begin(directory, from);
  let { file } = begun;
  let at = { offset: begun.offset };
  try {
    while (permitted()) {
      // What was written between a look at its end and the look at whether it is over is read, too.
      const over = directory.isOver(file);
      if (isCompressed(file.fd)) yield* inflated(bytesOf(file.fd, at, permitted));
      else yield* bytesOf(file.fd, at, permitted);
      if (!over) {
        if (!from.follow) return;
        await sleep(LOOK);
        continue;
      }
      const following = await openNext(directory, file);
      closeSync(file.fd);
      file = following;
      at = { offset: 0 };
    }
  } finally {
    closeSync(file.fd);
  }
}
