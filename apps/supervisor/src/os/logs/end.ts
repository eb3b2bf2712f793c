/** Finds where the last lines of a log begin. */
import { closeSync, fstatSync, readSync } from "node:fs";
import { CURRENT, type LogDirectory, type LogFile } from "./directory.ts";
import { isCompressed } from "./gzip.ts";

const CHUNK = 64 * 1024;
const NEWLINE = 10;
/** Bytes before its end that are searched: the supervisor is blocked meanwhile. */
const FARTHEST = 2 * 1024 * 1024;

/** Bytes that a file counts at least: a directory may hold many, and s6-log makes no smaller ones unless it is killed. */
const SMALLEST = 4096;

/** A place in a log. */
export interface Place {
  readonly file: LogFile;
  /** Bytes before it, in a file that is not compressed. */
  readonly offset: number;
  /** Lines before it, in one that is. */
  readonly skip: number;
}

/** Result of the search in one file. */
interface Search {
  readonly offset: number;
  readonly skip: number;
  /** Lines that must come from earlier files. */
  readonly missing: number;
  /** Bytes of its text. */
  readonly size: number;
}

/** Counts lines and bytes of a text; a last line without newline counts. */
export const measure = async (text: AsyncIterable<Buffer>): Promise<{ lines: number; size: number }> => {
  let lines = 0;
  let size = 0;
  let last = NEWLINE;
  for await (const chunk of text) {
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines += 1;
    size += chunk.length;
    last = chunk.at(-1) ?? last;
  }
  return { lines: last === NEWLINE ? lines : lines + 1, size };
};

/** Finds where the last `lines` lines of a file begin; an unfinished line counts. @param farthest bytes to search at most */
const searchFile = (fd: number, lines: number, farthest: number): Search => {
  const { size } = fstatSync(fd);
  const start = Math.max(0, size - farthest);
  let offset = size;
  const chunk = Buffer.alloc(CHUNK);
  // The newline at the end begins no line.
  let wanted = lines + 1;
  if (offset > 0) {
    readSync(fd, chunk, 0, 1, offset - 1);
    if (chunk[0] !== NEWLINE) wanted = lines;
  }
  if (lines === 0) return { offset, skip: 0, missing: 0, size };
  while (offset > start) {
    const length = Math.min(CHUNK, offset - start);
    offset -= length;
    readSync(fd, chunk, 0, length, offset);
    for (let at = chunk.lastIndexOf(NEWLINE, length - 1); at >= 0; at = chunk.lastIndexOf(NEWLINE, at - 1)) {
      wanted -= 1;
      if (wanted === 0) return { offset: offset + at + 1, skip: 0, missing: 0, size };
      if (at === 0) break;
    }
  }
  return { offset: start, skip: 0, missing: start > 0 ? 0 : wanted - 1, size };
};

/**
 * Opens the file in which the last `lines` lines begin, and finds where in it. Lines more than 2 MiB before the end are left
 * out, except those of a compressed file in which the 2 MiB begin.
 * @param inflate decompresses a file, asynchronously
 */
export const openLast = async (
  directory: LogDirectory,
  lines: number,
  inflate: (fd: number) => AsyncIterable<Buffer>,
): Promise<Place> => {
  const current = directory.open(CURRENT);
  let search = searchFile(current.fd, lines, FARTHEST);
  let place: Place = { file: current, offset: search.offset, skip: search.skip };
  let budget = FARTHEST - search.size;
  let first = search.missing > 0 ? directory.openInWork(current) : undefined;
  const earlier = directory.rotated().filter((name) => name <= current.latest);
  while (search.missing > 0 && budget > 0) {
    const file: LogFile | undefined = first ?? openIfThere(directory, earlier.pop());
    first = undefined;
    if (file === undefined) break;
    try {
      search = isCompressed(file.fd)
        ? await searchText(inflate(file.fd), search.missing)
        : searchFile(file.fd, search.missing, budget);
    } catch (error) {
      for (const { fd } of [file, place.file]) closeSync(fd);
      throw error;
    }
    budget -= Math.max(search.size, SMALLEST);
    closeSync(place.file.fd);
    place = { file, offset: search.offset, skip: search.skip };
  }
  return place;
};

const searchText = async (text: AsyncIterable<Buffer>, wanted: number): Promise<Search> => {
  const { lines, size } = await measure(text);
  return { offset: 0, skip: Math.max(0, lines - wanted), missing: Math.max(0, wanted - lines), size };
};

const openIfThere = (directory: LogDirectory, name: string | undefined): LogFile | undefined => {
  try {
    return name === undefined ? undefined : directory.open(name);
  } catch {
    // It was removed just now, or is no regular file.
    return undefined;
  }
};
