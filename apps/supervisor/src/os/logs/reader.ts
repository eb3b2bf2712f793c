/** Reading a log with its owner's authority, from any line on, and following it through its rotated files. */
import { closeSync, read } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { CURRENT, LogDirectory, type LogFile, type Succession } from "./directory.ts";
import { openLast, type Place } from "./end.ts";
import { inflated, isCompressed } from "./gzip.ts";

const CHUNK = 64 * 1024;
const NEWLINE = 10;
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

/** A text without its first lines. */
async function* without(lines: number, text: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let left = lines;
  for await (const chunk of text) {
    let start = 0;
    for (; left > 0; left -= 1) {
      start = chunk.indexOf(NEWLINE, start) + 1;
      if (start === 0) break;
    }
    if (left === 0 && start < chunk.length) yield chunk.subarray(start);
  }
}

const begin = async (
  directory: LogDirectory,
  { lines, since }: LogPosition,
  permitted: () => boolean,
): Promise<Place> => {
  if (lines !== undefined) return openLast(directory, lines, (fd) => inflated(bytesOf(fd, { offset: 0 }, permitted)));
  return { file: directory.open(since === undefined ? CURRENT : directory.firstSince(since)), offset: 0, skip: 0 };
};

/**
 * Opens the file after one that is over. It may be removed or renamed at any moment, so it is looked for more than once.
 * @throws errno errors, ENOENT when the log is gone
 */
const openNext = async (
  directory: LogDirectory,
  file: LogFile,
): Promise<{ file: LogFile; missed: Succession["missed"] }> => {
  for (let look = 1; look < LOOKS; look += 1) {
    try {
      const next = directory.successor(file);
      if (next !== undefined) return { file: directory.open(next.name), missed: next.missed };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    await sleep(LOOK);
  }
  return { file: directory.open(CURRENT), missed: 0 };
};

/** What a reader who has fallen behind is given in the place of what it came too late for. */
const gap = (missed: Succession["missed"]): string =>
  missed === "some"
    ? "dmhost: files of this log may be missing here: what was read to its end is no longer kept\n"
    : `dmhost: ${missed} ${missed === 1 ? "file" : "files"} of this log or more, to be read here, had been rotated away\n`;

/**
 * The bytes of a log, at most 64 KiB at a time and read no faster than they are taken; compressed files as what they were.
 * Where files have been removed before they were read, a line says so.
 * @throws errno errors when the log cannot be opened
 */
export async function* readLog(
  identity: FileIdentity,
  path: string,
  from: LogPosition,
): AsyncGenerator<Buffer, void, void> {
  const permitted = from.permitted ?? (() => true);
  const directory = new LogDirectory(identity, path);
  const begun = await begin(directory, from, permitted);
  let { file, skip } = begun;
  const at = { offset: begun.offset };
  let last = NEWLINE;
  try {
    while (permitted()) {
      // What was written between a look at its end and the look at whether it is over is read, too.
      const over = directory.isOver(file);
      const bytes = bytesOf(file.fd, at, permitted);
      for await (const chunk of isCompressed(file.fd) ? without(skip, inflated(bytes)) : bytes) {
        last = chunk.at(-1) ?? last;
        yield chunk;
      }
      if (!over) {
        if (!from.follow) return;
        await sleep(LOOK);
        continue;
      }
      const next = await openNext(directory, file);
      closeSync(file.fd);
      ({ file } = next);
      at.offset = 0;
      skip = 0;
      if (next.missed === 0) continue;
      yield Buffer.from(`${last === NEWLINE ? "" : "\n"}${gap(next.missed)}`);
      last = NEWLINE;
    }
  } finally {
    closeSync(file.fd);
  }
}
