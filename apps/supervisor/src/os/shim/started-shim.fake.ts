/** A shim for one test, in a directory of the test. It is the real program. */
import { join } from "node:path";
import type { ShimLink } from "./link.ts";
import { connectShim, startShim } from "./open-shim.ts";

/** Starts it, or connects to the one that runs there already. */
export const startedShim = async (directory: string): Promise<ShimLink> => {
  const program = join(import.meta.dirname, "../../app/main.ts");
  const link = (await connectShim(directory)) ?? (await startShim(directory, program));
  if (link === undefined) throw new Error("a shim without a tree cannot find it owned");
  return link;
};

/** Kills what it has launched, and ends it. */
export const endShim = (link: ShimLink): void => {
  const { pid } = link.requests;
  link.close();
  process.kill(pid, "SIGKILL");
};
