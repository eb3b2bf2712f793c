/** The FIFOs to which daemons write their logs. */
import { chownSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { mkfifo } from "../kernel/file-calls.ts";
import type { LogPlan } from "./log-plan.ts";

/** Path of a daemon's FIFO, inside the run directory. */
export const fifoPath = (runDir: string, owner: string, name: string): string =>
  join(runDir, "logs", owner, `${name}.fifo`);

/**
 * Makes the FIFO of a log, or gives an existing one to its writer.
 * @throws errno errors
 */
export const makeFifo = ({ fifo, writer }: Pick<LogPlan, "fifo" | "writer">): void => {
  mkdirSync(dirname(fifo), { recursive: true, mode: 0o700 });
  const old = lstatSync(fifo, { throwIfNoEntry: false });
  if (old && !old.isFIFO()) rmSync(fifo, { force: true, recursive: true });
  // The group lets a root without CAP_DAC_OVERRIDE open it; no tenant is in root's group.
  if (!old?.isFIFO()) mkfifo(fifo, 0o660);
  if (lstatSync(fifo).uid !== writer.uid) chownSync(fifo, writer.uid, process.getegid?.() ?? 0);
};
