/**
 * Ends a last line that a daemon has not ended. s6-log keeps the start of a line until the rest arrives; at TERM it ends
 * as soon as it keeps none. So an s6-log that continues to read after TERM keeps an unfinished line.
 */
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { constants as system } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { writeNow } from "../kernel/descriptors.ts";
import { hasInput } from "../kernel/poll.ts";

/** Interval between two checks of a logger, in ms. */
const LOOK = 50;
/** Consecutive checks that must find the logger waiting, and checks in all. */
const ENOUGH = 2;
const LOOKS = 20;

/** Waits up to `longest` ms until a FIFO is empty; resolves to whether it is. */
export const emptied = async (fd: number, longest: number): Promise<boolean> => {
  const end = performance.now() + longest;
  for (let wait = 1; hasInput(fd); wait = Math.min(2 * wait, LOOK)) {
    if (performance.now() > end) return false;
    await sleep(wait);
  }
  return true;
};

/** Whether a process has handled a TERM that it was sent, and waits for input and not for a child. */
const waits = (pid: number): boolean => {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "latin1");
    const pending = [...text.matchAll(/^(?:Sig|Shd)Pnd:\s*([0-9a-f]+)$/gm)];
    const term = 1n << BigInt(system.signals.SIGTERM - 1);
    if (!/^State:\s*S/m.test(text) || pending.some(([, mask]) => (BigInt(`0x${mask}`) & term) !== 0n)) return false;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim() === "";
  } catch {
    return false;
  }
};

/**
 * Ends the line that a logger keeps after TERM, if it keeps one.
 * @param holds whether it is still that logger, and no process writes to the FIFO
 */
export const endLine = async (fd: number, pid: number, holds: () => boolean): Promise<void> => {
  for (let look = 0, found = 0; look < LOOKS; look += 1) {
    await sleep(LOOK);
    if (!holds() || hasInput(fd)) return;
    found = waits(pid) ? found + 1 : 0;
    if (found < ENOUGH) continue;
    // The flags of `fd` are shared with other processes, so it may block.
    const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    writeNow(own, Buffer.from("\n"));
    closeSync(own);
    return;
  }
};
