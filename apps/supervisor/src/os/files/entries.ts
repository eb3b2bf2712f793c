/** What lies in a directory that a tenant fills: everybody waits while it is read, so it is read only so far. */
import { type Dirent, opendirSync } from "node:fs";

/** How long reading one may take, in ms: a disk of a tenant's choice may be slow. */
const LONGEST = 500;
/** Entries that are read between two looks at the clock, and asked of the kernel at once. */
const BATCH = 256;

/** A directory that has been given up; its message begins with the path and says what to do. */
export class Overcrowded extends Error {}

/**
 * The entries of a directory, in no order. `asUser` is its caller's to say.
 * @param most of them
 * @param longest time that it may take, in ms
 * @throws errno errors; Overcrowded where there are more, or it takes longer
 */
export const entriesOf = (directory: string, most: number, longest: number = LONGEST): Dirent<Buffer>[] => {
  // The types of opendir do not know of this encoding, which its entries obey.
  const open = opendirSync(directory, { encoding: "buffer" as BufferEncoding, bufferSize: BATCH });
  try {
    const entries: Dirent<Buffer>[] = [];
    const begun = performance.now();
    for (let entry = open.readSync(); entry !== null; entry = open.readSync()) {
      entries.push(entry as unknown as Dirent<Buffer>);
      if (entries.length > most)
        throw new Overcrowded(`${directory}: more than ${most} files in it; put them elsewhere`);
      if (entries.length % BATCH === 0 && performance.now() - begun > longest)
        throw new Overcrowded(
          `${directory}: reading it takes longer than ${longest} ms, after ${entries.length} files; put some elsewhere`,
        );
    }
    return entries;
  } finally {
    open.closeSync();
  }
};
