import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";

/** Relative to the supervisor's program: in an installation (build.ts), and in a checkout. */
const PLACES = ["daemontools", "../../../../daemontools"];

/**
 * The directory with the programs for scripts of service directories.
 * @param program path of the supervisor's program
 * @throws Error where it is missing
 */
export const findServiceTools = (program: string): string => {
  for (const place of PLACES) {
    const directory = join(dirname(program), place);
    try {
      accessSync(join(directory, "envdir"), constants.X_OK);
      return directory;
    } catch {
      // Try the next place.
    }
  }
  throw new Error(`there is no directory daemontools beside ${program}; reinstall dmhost, or run it from a checkout`);
};
