/** Finds the shim of a run directory, and starts one. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../kernel/error-code.ts";
import { ShimLink, TIMEOUT } from "./link.ts";
import { SilentShim } from "./own-connection.ts";

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

/** How a program waits for a shim that does not answer. */
export interface Patience {
  /** For each reply, in ms. */
  readonly timeout: number;
  /** Called with the reason, each time that the timeout has passed. */
  report(reason: string): void;
  /** Whether the program is to end. */
  isOver(): boolean;
}

/** For programs that do not wait longer. */
const IMPATIENT: Patience = { timeout: TIMEOUT, report: () => undefined, isOver: () => true };

/** Until it is tried again. In ms. */
const PAUSE = 10;

/**
 * Connects to the shim of a run directory. As long as one lives that does not answer, because it was stopped or gets no
 * processor time, it waits: it holds the daemons.
 * @returns undefined where none runs
 * @throws Error where it speaks no version of the protocol that this program speaks, or belongs to another account
 */
export const connectShim = async (runDir: string, patience = IMPATIENT): Promise<ShimLink | undefined> => {
  const path = shimPath(runDir);
  let pid: number | undefined;
  for (let waited = patience.timeout; ; waited += patience.timeout) {
    try {
      return new ShimLink(path, patience.timeout);
    } catch (error) {
      if (ABSENT.has(codeOf(error))) return undefined;
      if (!(error instanceof SilentShim)) throw error;
      pid = error.pid ?? pid;
    }
    // Signals that have come meanwhile are handled first.
    await sleep(PAUSE);
    const what = `the shim (pid ${pid}) at ${path} has not answered for ${waited / 1000} s`;
    if (patience.isOver()) throw new Error(`${what}: it and its daemons go on`);
    patience.report(`${what}: waiting as long as it lives; where somebody has stopped it:  kill -CONT ${pid}`);
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
export const startShim = async (
  runDir: string,
  program: string,
  tree?: string,
  patience = IMPATIENT,
): Promise<ShimLink | undefined> => {
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
  if (code === undefined) return connectShim(runDir, patience);
  if (code === OWNED) return undefined;
  throw new Error(`${file} ended with code ${code}`);
};
