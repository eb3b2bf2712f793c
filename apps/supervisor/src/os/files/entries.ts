/** Reads a tenant's directory within bounds: the supervisor does nothing else meanwhile. */
import { type Dirent, opendirSync } from "node:fs";
import { writeDuration } from "../../core/units.ts";

/** Time limit in ms: a tenant's file system may be slow. */
export const LONGEST = 500;
/** Entries that are read at a time and between two looks at the clock. */
const BATCH = 256;

/** A directory that exceeds the bounds; the message begins with its path and says what to do. */
export class Overcrowded extends Error {}

/**
 * The entries of a directory, in no order. The caller acts as the tenant.
 * @param most entries at most
 * @param longest time limit in ms
 * @throws errno errors; Overcrowded where there are more, or it takes longer
 */
export const entriesOf = (directory: string, most: number, longest: number = LONGEST): Dirent<Buffer>[] => {
  // The types of opendir lack this encoding.
  const open = opendirSync(directory, { encoding: "buffer" as BufferEncoding, bufferSize: BATCH });
  try {
    const entries: Dirent<Buffer>[] = [];
    const startedAt = performance.now();
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      entries.push(entry as unknown as Dirent<Buffer>);
      if (entries.length > most)
        throw new Overcrowded(`${directory}: more than ${most} files in it; put them elsewhere`);
      if (entries.length % BATCH === 0 && performance.now() - startedAt > longest)
        throw new Overcrowded(
          `${directory}: reading it takes longer than ${writeDuration(longest)}, after ${entries.length} files; put some elsewhere`,
        );
    }
    return entries;
  } finally {
    open.closeSync();
  }
};
