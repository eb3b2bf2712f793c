/**
 * The gentle end of a tree of processes: all of them get TERM at a moment when none has a client's connection in hand. So that
 * nobody comes between look and end, they are held by STOP for that moment. One that has been seen with a client, and has
 * none any more, stays held until then, so that it takes no other: a pool of them, whose processes are never idle all at
 * once, ends with the longest of its requests (docs/decisions/0008).
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { ClientLook, ProcessIdentity } from "../../engine/ports/runs.ts";
import type { CpuBudget } from "../kernel/cpu-budget.ts";

const { SIGTERM, SIGSTOP, SIGCONT } = constants.signals;
/** Between two looks, at least. In ms. */
const LOOK = 10;
/** How long they are waited for once they were sent STOP: on a machine with much to do a process takes its time to stop. In ms. */
const PATIENCE = 100;

/** What the gentle end of a tree needs of it. */
export interface DrainTarget {
  /** The one that others may have been forked by, or are served through. */
  readonly main: ProcessIdentity;
  /** Its processes; undefined where they are too many to be looked at. */
  members(): readonly ProcessIdentity[] | undefined;
  signal(process: ProcessIdentity, signal: number): void;
  /** @param since before when (performance.now()) it must not have been looked */
  look(since?: number): ClientLook;
  /** Time that may go into it. */
  readonly budget: CpuBudget;
}

const runs = ({ pid }: ProcessIdentity): boolean => {
  try {
    return /^State:\s*[RSD]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** Begins it. The function that is returned ends it, whatever it has come to, and lets go who is held. */
export const drain = (tree: DrainTarget): (() => void) => {
  /** Who has been seen with a client, without the main one: the others may be what these need to serve theirs. */
  const workers = new Set<number>();
  /** Who was sent STOP; all but those that are being looked at again are known to have no client. */
  const held = new Map<number, ProcessIdentity>();
  let timer: NodeJS.Timeout | undefined;
  let giveUp: (() => void) | undefined;
  const letGo = (processes: Iterable<ProcessIdentity>): void => {
    for (const process of processes) {
      held.delete(process.pid);
      tree.signal(process, SIGCONT);
    }
  };
  const again = (): void => {
    timer = setTimeout(() => {
      giveUp = tree.budget.inTurn(look);
    }, LOOK);
  };
  const idleOf = (processes: readonly ProcessIdentity[], serves: ClientLook): ProcessIdentity[] =>
    processes.filter((process) => {
      const found = serves(process);
      if (found && process.pid !== tree.main.pid) workers.add(process.pid);
      return found === false;
    });

  const look = (): void => {
    // Somebody else may have let them go, and a client may have come since.
    letGo([...held.values()].filter(runs));
    const loose = tree.members()?.filter(({ pid }) => !held.has(pid)) ?? [];
    const idle = idleOf(loose, tree.look());
    if (idle.length < loose.length) hold(idle.filter(({ pid }) => workers.has(pid)));
    else hold(loose.length > 0 ? idle : [...held.values()]);
  };
  const hold = (processes: readonly ProcessIdentity[]): void => {
    if (processes.length === 0) {
      again();
      return;
    }
    for (const process of processes) {
      held.set(process.pid, process);
      tree.signal(process, SIGSTOP);
    }
    lookHeld(processes, performance.now());
  };
  /**
   * @param fresh who was sent STOP last
   * @param since when
   */
  const lookHeld = (fresh: readonly ProcessIdentity[], since: number): void => {
    if (performance.now() - since < PATIENCE && fresh.some(runs)) {
      timer = setTimeout(() => tree.budget.charge(() => lookHeld(fresh, since)), 1);
      return;
    }
    const stopped = fresh.filter((process) => !runs(process));
    const idle = new Set(idleOf(stopped, tree.look(performance.now())));
    letGo(fresh.filter((process) => !idle.has(process)));
    // The list is read again: somebody may have begun another one until all were held.
    const members = held.size > 0 && idle.size === fresh.length ? tree.members() : undefined;
    if (members?.every((process) => held.has(process.pid) && !runs(process))) {
      for (const process of members) tree.signal(process, SIGTERM);
      letGo(held.values());
      return;
    }
    letGo([...held.values()].filter(({ pid }) => !workers.has(pid)));
    again();
  };

  // A supervisor that was killed at such a moment has left them held.
  letGo(tree.members() ?? []);
  // Not at once: its record is written first, and the next supervisor lets go of those alone that it knows to be on their way out.
  again();
  return () => {
    clearTimeout(timer);
    giveUp?.();
    letGo(held.values());
  };
};
