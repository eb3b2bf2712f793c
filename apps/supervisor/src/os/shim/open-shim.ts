/** Finds the shim of a run directory, and starts one. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { codeOf } from "../kernel/error-code.ts";
import { ShimLink } from "./link.ts";

/** Relative to the supervisor's program: in an installation (build.ts), and in a checkout. */
const PLACES = ["dmhost-shim", "../../../../shim/dmhost-shim"];

/** Path of the socket of a run directory's shim. */
export const shimPath = (runDir: string): string => join(runDir, "shim.sock");

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

/** Exit code of a shim whose tree another one owns. */
const OWNED = 75;

/**
 * Connects to the shim of a run directory.
 * @returns undefined where none runs
 * @throws Error where it speaks no version of the protocol that this program speaks
 */
export const connectShim = (runDir: string): ShimLink | undefined => {
  try {
    return new ShimLink(shimPath(runDir));
  } catch (error) {
    if (ABSENT.has(codeOf(error))) return undefined;
    throw error;
  }
};

/**
 * Whether another build of the shim is installed than the one that runs.
 * @param program path of the supervisor's program
 */
export const isOutdated = ({ requests }: ShimLink, program: string): boolean => {
  try {
    return Number(execFileSync(findShim(program), ["-e"], { encoding: "utf8" })) !== requests.edition;
  } catch {
    // It cannot be executed: the next start reports that.
    return false;
  }
};

/**
 * Starts the shim of a run directory and connects to it.
 * @param program path of the supervisor's program
 * @param tree directory of cgroups that it owns as long as it lives
 * @returns undefined where another shim owns the tree
 * @throws Error where it cannot be started
 */
export const startShim = async (runDir: string, program: string, tree?: string): Promise<ShimLink | undefined> => {
  const path = shimPath(runDir);
  const file = findShim(program);
  const shim = spawn(file, ["-d", "3", ...(tree === undefined ? [] : ["-t", tree]), path], {
    cwd: "/",
    env: {},
    detached: true,
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  const ready = shim.stdio[3] as Readable;
  const code = await Promise.race([
    once(ready, "data").then(() => undefined),
    once(shim, "error").then(([error]) => Promise.reject(error)),
    once(shim, "exit").then(([code]) => code),
  ]);
  ready.destroy();
  shim.unref();
  if (code === undefined) return new ShimLink(path);
  if (code === OWNED) return undefined;
  throw new Error(`${file} ended with code ${code}`);
};
