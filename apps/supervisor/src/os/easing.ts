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
/** How long they may be held: on a machine with much to do a process takes its time to stop. In ms. */
const PATIENCE = 100;

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
    return readFileSync(`/proc/${pid}/status`, "utf8");
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
  const trusted = performance.now() + TRUST;
  let timer: NodeJS.Timeout | undefined;
  let giveUp: (() => void) | undefined;
  let held: readonly ProcessIdentity[] = [];
  const tell = (processes: readonly ProcessIdentity[]): void => {
    for (const process of processes) {
      told.add(process.pid);
      tree.signal(process, SIGTERM);
    }
  };
  const letGo = (processes: readonly ProcessIdentity[] = held): void => {
    for (const process of processes) tree.signal(process, SIGCONT);
    held = [];
  };
  const inTurn = (): void => {
    giveUp = tree.ration.inTurn(look);
  };
  const again = (): void => {
    timer = setTimeout(inTurn, LOOK);
  };
  const look = (): void => {
    const untold = tree.members()?.filter(({ pid }) => !told.has(pid)) ?? [];
    if (untold.length > 0 && tree.serves(untold) === false) {
      held = untold;
      for (const process of held) tree.signal(process, SIGSTOP);
      lookHeld(performance.now());
      return;
    }
    if (performance.now() >= trusted) tell(untold.filter(catchesTerm));
    again();
  };
  /** @param since when they were sent STOP */
  const lookHeld = (since: number): void => {
    const isLate = performance.now() - since >= PATIENCE;
    if (!isLate && held.some(runs)) {
      timer = setTimeout(() => tree.ration.charge(() => lookHeld(since)), 1);
      return;
    }
    const isIdle = !isLate && tree.serves(held, performance.now()) === false;
    if (isIdle) tell(held);
    letGo();
    if (!isIdle) again();
  };
  // A supervisor that was killed at such a moment has left them held.
  letGo(tree.members());
  inTurn();
  return () => {
    clearTimeout(timer);
    giveUp?.();
    letGo();
  };
};
