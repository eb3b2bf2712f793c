/**
 * Ends the shim of an earlier supervisor that nobody can reach any more, because its socket was removed. It would own its
 * cgroups, keep its logs locked, and hold its runs that still live.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { readPlainFile, replaceFile } from "../files/whole-file.ts";
import { identify, isAlive, processEpoch } from "../kernel/process-table.ts";
import { signalProcess } from "../kernel/signal-process.ts";

/** Bytes of the largest file that is read. */
const LARGEST = 4096;
/** Time for its end, and interval between two looks. In ms. */
const LONGEST_END = 5000;
const LOOK = 10;

const fileIn = (stateDir: string): string => join(stateDir, "shim.json");

/** Leaves the process of the shim for the next supervisor with this state directory. */
export const rememberShim = (stateDir: string, pid: number): void => {
  try {
    replaceFile(fileIn(stateDir), JSON.stringify({ epoch: processEpoch(), ...identify(pid) }), 0o600);
  } catch {
    // A full disk: the next supervisor needs it only if the socket is removed.
  }
};

const recall = (stateDir: string): ProcessIdentity | undefined => {
  try {
    const { epoch, pid, startTime } = JSON.parse(readPlainFile(fileIn(stateDir), LARGEST));
    return epoch === processEpoch() && identify(pid)?.startTime === startTime ? { pid, startTime } : undefined;
  } catch {
    return undefined;
  }
};

/** The path of a shim's socket, by its command line; undefined for another program. */
const socketOf = ({ pid }: ProcessIdentity): string | undefined => {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0]?.endsWith("/dmhost-shim") ? words.at(-2) : undefined;
  } catch {
    return undefined;
  }
};

/** The shim of the supervisor before, which had this state directory; undefined where it has ended. */
export const lastShim = (stateDir: string): ProcessIdentity | undefined => {
  const shim = recall(stateDir);
  return shim && socketOf(shim) !== undefined ? shim : undefined;
};

/**
 * Ends the shim of the supervisor before, which had this state directory; resolves when it has ended. Its runs live on. To be called
 * where nothing listens at the path of this supervisor's shim, and with the state directory locked.
 * @param report called where there is one
 */
export const endLastShim = async (stateDir: string, path: string, report: (reason: string) => void): Promise<void> => {
  const shim = recall(stateDir);
  const former = shim && socketOf(shim);
  if (shim === undefined || former === undefined) return;
  report(former === path ? `its socket was removed: ${path}` : `the run directory was ${dirname(former)}`);
  for (const end = performance.now() + LONGEST_END; isAlive(shim) && performance.now() < end; await sleep(LOOK)) {
    // Again: it ignores TERM until it knows that its supervisor has ended.
    signalProcess(shim, constants.signals.SIGTERM);
  }
};
