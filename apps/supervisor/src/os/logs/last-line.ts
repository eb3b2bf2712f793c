/**
 * The last line of a daemon that did not end it. s6-log keeps the beginning of a line until the rest comes, and at TERM ends
 * as soon as it has none in hand: one that goes on reading holds such a line.
 */
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { constants as system } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { writeNow } from "../kernel/descriptors.ts";
import { hasInput } from "../kernel/poll.ts";

/** How often a logger is looked at, in ms. */
const LOOK = 50;
/** Looks in a row at which a logger must be found waiting, and how many there are. */
const ENOUGH = 2;
const LOOKS = 20;

/** Waits until a FIFO has been emptied, for so many ms at most; gives whether it has. */
export const emptied = async (fd: number, longest: number): Promise<boolean> => {
  const end = performance.now() + longest;
  for (let wait = 1; hasInput(fd); wait = Math.min(2 * wait, LOOK)) {
    if (performance.now() > end) return false;
    await sleep(wait);
  }
  return true;
};

/** Whether a process has taken note of a TERM that it was sent, and waits for something that is no child of its own. */
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
 * Ends the line that a logger has in hand, if it has one after a TERM that it has been sent.
 * @param holds whether it is still that logger, and nobody writes to the FIFO
 */
export const endLine = async (fd: number, pid: number, holds: () => boolean): Promise<void> => {
  for (let look = 0, found = 0; look < LOOKS; look += 1) {
    await sleep(LOOK);
    if (!holds() || hasInput(fd)) return;
    found = waits(pid) ? found + 1 : 0;
    if (found < ENOUGH) continue;
    // Others have this FIFO open as it is, so that it may block.
    const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    writeNow(own, Buffer.from("\n"));
    closeSync(own);
    return;
  }
};
