/** A shim for one test, in a directory of the test. It is the real program. */
import { join } from "node:path";
import type { ShimLink } from "./link.ts";
import { openShim } from "./open-shim.ts";

/** Starts it, or connects to the one that runs there already. */
export const startedShim = (directory: string): Promise<ShimLink> =>
  openShim(directory, join(import.meta.dirname, "../../app/main.ts"));

/** Kills what it has launched, and ends it. */
export const endShim = (link: ShimLink): void => {
  const { pid } = link.requests;
  link.close();
  process.kill(pid, "SIGKILL");
};
