import { lstatSync } from "node:fs";

/** Text that changes when a file is replaced or written; undefined where there is none. */
export const editionOf = (path: string): string | undefined => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found && `${found.ino} ${found.mtimeMs}`;
};
