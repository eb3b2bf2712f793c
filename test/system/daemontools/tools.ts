/** dmhost's daemontools programs, where ordinary accounts can run them. */
import { chmodSync, cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CHECKOUT } from "../program.ts";

/** Copies the programs into `directory`, which is made. */
export const layOutTools = (directory: string): void => {
  cpSync(join(CHECKOUT, "daemontools"), directory, { recursive: true, dereference: true });
  chmodSync(directory, 0o755);
  for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o755);
};
