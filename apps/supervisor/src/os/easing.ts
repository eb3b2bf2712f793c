/**
 * The gentle end of a tree of processes: each gets TERM when none of them has a client's connection in hand. So that nobody
 * comes between look and end, they are held by STOP for that moment. One that catches TERM and goes on serving gets it after
 * a while all the same: it is trusted to finish what it is at (docs/decisions/0008).
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessIdentity } from "./process-table.ts";
import type { Ration } from "./ration.ts";

const { SIGTERM, SIGSTOP, SIGCONT } = constants.signals;
/** Between two looks, at least. In ms. */
const LOOK = 10;
/** How long one that catches TERM may go on serving until it gets it. In ms. */
const TRUST = 1000;
/** How long it is waited until all that were sent STOP have stopped. In ms. */
const PATIENCE = 5;

/** What the gentle end of a tree needs of it. */
export interface Eased {
  /** Its processes; undefined where they are too many to be looked at. */
  members(): readonly ProcessIdentity[] | undefined;
  signal(process: ProcessIdentity, signal: number): void;
  /**
   * Whether any of these has a client's connection in hand; undefined where that takes too long to find out.
   * @param since before when (performance.now()) it must not have been looked
   */
  serves(processes: readonly ProcessIdentity[], since?: number): boolean | undefined;
  /** Time that may go into it. */
  readonly ration: Ration;
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

/** Whether all have stopped, or ended, before patience is at an end. */
const awaitStop = (processes: readonly ProcessIdentity[]): boolean => {
  const end = performance.now() + PATIENCE;
  let left = processes;
  while (left.length > 0 && performance.now() < end) left = left.filter(runs);
  return left.length === 0;
};

/** Begins it. The function that is returned ends it, whatever it has come to. */
export const easeOut = (tree: Eased): (() => void) => {
  const told = new Set<number>();
  const trusted = performance.now() + TRUST;
  let timer: NodeJS.Timeout | undefined;
  const tell = (processes: readonly ProcessIdentity[]): void => {
    for (const process of processes) {
      told.add(process.pid);
      tree.signal(process, SIGTERM);
    }
  };
  const look = (): boolean => {
    const untold = tree.members()?.filter(({ pid }) => !told.has(pid)) ?? [];
    if (untold.length === 0) return false;
    if (tree.serves(untold) === false && endIdle(untold)) return true;
    if (performance.now() >= trusted) tell(untold.filter(catchesTerm));
    return false;
  };
  const endIdle = (processes: readonly ProcessIdentity[]): boolean => {
    for (const process of processes) tree.signal(process, SIGSTOP);
    const idle = awaitStop(processes) && tree.serves(processes, performance.now()) === false;
    if (idle) tell(processes);
    for (const process of processes) tree.signal(process, SIGCONT);
    return idle;
  };
  const again = (): void => {
    if (tree.ration.balance > 0 && tree.ration.charge(look)) return;
    timer = setTimeout(again, Math.max(LOOK, tree.ration.wait));
  };
  again();
  return () => clearTimeout(timer);
};
