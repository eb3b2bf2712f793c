/** Finds the shim of a run directory, and starts one where none runs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { codeOf } from "../kernel/error-code.ts";
import { ShimLink } from "./link.ts";

/** Relative to the supervisor's program: in an installation (build.ts), and in a checkout. */
const PLACES = ["dmhost-shim", "../../../../shim/dmhost-shim"];
const SOCKET = "shim.sock";

/** Errors for a socket at which no shim listens. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ECONNREFUSED"]);

/**
 * The shim's program.
 * @param program path of the supervisor's program
 * @throws Error where it is missing
 */
const findShim = (program: string): string => {
  for (const place of PLACES) {
    const path = join(dirname(program), place);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Try the next place.
    }
  }
  throw new Error(
    `there is no dmhost-shim beside ${program}; build it: ./dmhost setup in a checkout, or reinstall dmhost`,
  );
};

const start = async (program: string, path: string): Promise<void> => {
  const shim = spawn(program, ["-d", "3", path], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const ready = shim.stdio[3] as Readable;
  await Promise.race([
    once(ready, "data"),
    once(shim, "error").then(([error]) => Promise.reject(error)),
    once(shim, "exit").then(([code]) => Promise.reject(new Error(`${program} ended with code ${code}`))),
  ]);
  ready.destroy();
  shim.unref();
};

/**
 * Connects to the shim of a run directory; starts one where none runs.
 * @param program path of the supervisor's program
 * @throws Error where it cannot be started, or speaks no version of the protocol that this program speaks
 */
export const openShim = async (runDir: string, program: string): Promise<ShimLink> => {
  const path = join(runDir, SOCKET);
  try {
    return new ShimLink(path);
  } catch (error) {
    if (!ABSENT.has(codeOf(error))) throw error;
  }
  await start(findShim(program), path);
  return new ShimLink(path);
};
