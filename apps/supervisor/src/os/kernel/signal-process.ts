/** Signals by pidfd, so that none reaches a process that has got the pid of another (docs/explanation/security.md#11). */
import { closeSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { codeOf } from "./error-code.ts";
import { openPidfd, sendSignal } from "./pidfd.ts";
import { isAlive } from "./process-table.ts";

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
