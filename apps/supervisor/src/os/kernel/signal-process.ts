/** Signals by pidfd, so that none reaches a process that has got the pid of another (docs/explanation/security.md#11). */
import { closeSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { declare, errnoError, errnoName } from "./libc.ts";
import { isAlive } from "./process-table.ts";

const c = {
  pidfd_open: declare("int pidfd_open(int, uint32_t)"),
  pidfd_send_signal: declare("int pidfd_send_signal(int, int, void *, uint32_t)"),
};

/** Signals one process, unless it has ended and another has its pid. */
export const signalProcess = (process: ProcessIdentity, signal: number): void => {
  const pidfd = c.pidfd_open(process.pid, 0);
  if (pidfd < 0) return;
  try {
    if (!isAlive(process) || c.pidfd_send_signal(pidfd, signal, null, 0) === 0 || errnoName() === "ESRCH") return;
    throw errnoError("pidfd_send_signal", `pid ${process.pid}`);
  } finally {
    closeSync(pidfd);
  }
};
