import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";

/** From the supervisor's program: where it is installed (build.ts), and where it lies in a checkout. */
const PLACES = ["daemontools", "../../../../daemontools"];

/**
 * The folder with the programs for service directories' scripts.
 * @param program path of the supervisor's program
 * @throws Error when it is not where it belongs
 */
export const findServiceTools = (program: string): string => {
  for (const place of PLACES) {
    const folder = join(dirname(program), place);
    try {
      accessSync(join(folder, "envdir"), constants.X_OK);
      return folder;
    } catch {
      // It may be in the next place.
    }
  }
  throw new Error(`there is no folder daemontools beside ${program}; install dmhost again, or build it in a checkout`);
};
