/** Signals by pidfd, so that none reaches a process that has got the pid of another (docs/explanation/security.md#11). */
import { closeSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { codeOf } from "./error-code.ts";
import { openPidfd, sendSignal } from "./pidfd.ts";
import { findTree, isAlive } from "./process-table.ts";

/** Signals one process, unless it has ended and another has its pid. */
export const signalProcess = (process: ProcessIdentity, signal: number): void => {
  let pidfd: number;
  try {
    pidfd = openPidfd(process.pid);
  } catch {
    return;
  }
  try {
    if (isAlive(process)) sendSignal(pidfd, signal);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  } finally {
    closeSync(pidfd);
  }
};

/**
 * Kills the leader of a session, and then its session and its descendants. To be called before the leader is reaped.
 * @throws errno errors where /proc cannot be read, e.g. EMFILE
 */
export const killSession = (leader: ProcessIdentity): void => {
  const { SIGKILL } = constants.signals;
  // First, so that it starts no further process.
  signalProcess(leader, SIGKILL);
  for (const member of findTree(leader)) signalProcess(member, SIGKILL);
};
