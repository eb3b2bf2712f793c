/** Where the last lines of a log begin. */
import { closeSync, fstatSync, readSync } from "node:fs";
import { isCompressed } from "./gzip.ts";
import { CURRENT, type LogDirectory, type LogFile } from "./log-directory.ts";

const CHUNK = 64 * 1024;
const NEWLINE = 10;
/** How far back from its end a log is searched, in bytes: everybody waits for the search. */
const FARTHEST = 2 * 1024 * 1024;

/** How far the search has come in one file. */
interface Search {
  readonly offset: number;
  /** Lines that earlier files would have to give. */
  readonly missing: number;
}

/** Offset at which the last `lines` lines of a file begin, not before `start`; a line that has no end yet counts. */
const searchFile = (fd: number, lines: number, start: number): Search => {
  let offset = fstatSync(fd).size;
  const chunk = Buffer.alloc(CHUNK);
  // The end of the last line is not the beginning of another.
  let wanted = lines + 1;
  if (offset > 0) {
    readSync(fd, chunk, 0, 1, offset - 1);
    if (chunk[0] !== NEWLINE) wanted = lines;
  }
  if (lines === 0) return { offset, missing: 0 };
  while (offset > start) {
    const length = Math.min(CHUNK, offset - start);
    offset -= length;
    readSync(fd, chunk, 0, length, offset);
    for (let at = chunk.lastIndexOf(NEWLINE, length - 1); at >= 0; at = chunk.lastIndexOf(NEWLINE, at - 1)) {
      wanted -= 1;
      if (wanted === 0) return { offset: offset + at + 1, missing: 0 };
      if (at === 0) break;
    }
  }
  return { offset: start, missing: start > 0 ? 0 : wanted - 1 };
};

/**
 * Opens the file with which the last `lines` lines begin, and says where in it: those of them that lie within 2 MiB of the
 * end, and in files that are not compressed.
 */
export const openLast = (directory: LogDirectory, lines: number): { file: LogFile; offset: number } => {
  let file = directory.open(CURRENT);
  const earlier = directory.rotated();
  let budget = FARTHEST;
  let missing = lines;
  while (true) {
    const { size } = fstatSync(file.fd);
    const search = searchFile(file.fd, missing, Math.max(0, size - budget));
    budget -= size;
    missing = search.missing;
    const name = missing > 0 && budget > 0 ? earlier.pop() : undefined;
    const next = name === undefined ? undefined : openPlain(directory, name);
    if (next === undefined) return { file, offset: search.offset };
    closeSync(file.fd);
    file = next;
  }
};

const openPlain = (directory: LogDirectory, name: string): LogFile | undefined => {
  try {
    const file = directory.open(name);
    if (!isCompressed(file.fd)) return file;
    closeSync(file.fd);
  } catch {
    // It was removed meanwhile, or is none that was rotated.
  }
  return undefined;
};
