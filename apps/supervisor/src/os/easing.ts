/**
 * The gentle end of a tree of processes. One that catches TERM gets it at once: it knows what to do with the request that it
 * is at. The others would die of it in the middle, so they are held by STOP for a moment, looked at, and given it only when
 * none has a client's connection in hand.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessIdentity } from "./process-table.ts";

const { SIGTERM, SIGSTOP, SIGCONT } = constants.signals;
/** Between two looks. In ms. */
const LOOK = 10;
/** How often the state of a process that was sent STOP is read until it has stopped. */
const PATIENCE = 200;

/** What the gentle end of a tree needs of it. */
export interface Eased {
  members(): readonly ProcessIdentity[];
  signal(process: ProcessIdentity, signal: number): void;
  /** Whether any of these has a client's connection in hand. */
  serves(processes: readonly ProcessIdentity[]): boolean;
}

const statusOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return "";
  }
};

const catchesTerm = ({ pid }: ProcessIdentity): boolean => {
  const [, mask = "0"] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(statusOf(pid)) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(SIGTERM - 1)) & 1n) === 1n;
};

const runs = ({ pid }: ProcessIdentity): boolean => /^State:\s*[RSD]/m.test(statusOf(pid));

/** Begins it. The function that is returned ends it, whatever it has come to. */
export const easeOut = (tree: Eased): (() => void) => {
  const told = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const untold = tree.members().filter(({ pid }) => !told.has(pid));
    const ready = untold.filter(catchesTerm);
    for (const process of ready) {
      told.add(process.pid);
      tree.signal(process, SIGTERM);
    }
    const rest = untold.filter((process) => !ready.includes(process));
    if (rest.length > 0 && !tree.serves(rest) && endIdle(rest)) return;
    timer = setTimeout(look, LOOK);
  };
  const endIdle = (processes: readonly ProcessIdentity[]): boolean => {
    for (const process of processes) tree.signal(process, SIGSTOP);
    for (let left = PATIENCE; left > 0 && processes.some(runs); left -= 1);
    const idle = !processes.some(runs) && !tree.serves(processes);
    for (const process of processes) {
      if (idle) tree.signal(process, SIGTERM);
      tree.signal(process, SIGCONT);
    }
    return idle;
  };
  look();
  return () => clearTimeout(timer);
};
