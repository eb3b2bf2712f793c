/** Reads a log as its owner, from any line on, and follows it through its rotated files. */
import { closeSync, read } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { CURRENT, LogDirectory, type LogFile, type Succession } from "./directory.ts";
import { openLast, type Place } from "./end.ts";
import { inflated, isCompressed } from "./gzip.ts";

const CHUNK = 64 * 1024;
const NEWLINE = 10;
/** Interval between two checks of a followed log, in ms. */
const LOOK = 200;
/** Checks after which a rotated file without a final name counts as removed. */
const LOOKS = 10;

const readAt = promisify(read);

/** Where reading begins, and whether it continues with later lines. */
export interface LogPosition {
  /** Begin with that many last lines; undefined: at the start of the current file, or by `since`. */
  readonly lines: number | undefined;
  /** Begin with the first file that may have lines of this time or later, in ms since 1970; 0 is the oldest file. */
  readonly since: number | undefined;
  readonly follow: boolean;
  /** Called before each piece; reading ends once it returns false. */
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

const openFirst = async (
  directory: LogDirectory,
  { lines, since }: LogPosition,
  permitted: () => boolean,
): Promise<Place> => {
  if (lines !== undefined) return openLast(directory, lines, (fd) => inflated(bytesOf(fd, { offset: 0 }, permitted)));
  return { file: directory.open(since === undefined ? CURRENT : directory.firstSince(since)), offset: 0, skip: 0 };
};

/**
 * Opens the file after a finished one. s6-log may rename or remove it at any moment, so there are several attempts.
 * @throws errno errors; ENOENT when the log was removed
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
      if (codeOf(error) !== "ENOENT") throw error;
    }
    await sleep(LOOK);
  }
  return { file: directory.open(CURRENT), missed: 0 };
};

/** The line that a slow reader gets in place of files that were removed before it could read them. */
const gap = (missed: Succession["missed"]): string =>
  missed === "some"
    ? "dmhost: files of this log may be missing here: the file that was read last was removed\n"
    : `dmhost: at least ${missed} ${missed === 1 ? "file" : "files"} of this log missing here: removed before they were read\n`;

/**
 * The bytes of a log, decompressed, at most 64 KiB at a time and no faster than the reader takes them. A line reports files
 * that were removed before they could be read.
 * @throws errno errors when the log cannot be opened
 */
export async function* readLog(
  identity: FileIdentity,
  path: string,
  from: LogPosition,
): AsyncGenerator<Buffer, void, void> {
  const permitted = from.permitted ?? (() => true);
  const directory = new LogDirectory(identity, path);
  const first = await openFirst(directory, from, permitted);
  let { file, skip } = first;
  const at = { offset: first.offset };
  let last = NEWLINE;
  try {
    while (permitted()) {
      // In this order: lines written after the last read and before a rotation are read as well.
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
