/**
 * Drains and terminates a tree of processes: sends TERM to all of them at a moment when none has a client's connection.
 * Suspends them (SIGSTOP) during the check, so that none accepts a connection before TERM. A process that had a client
 * and has none any more stays stopped until then: a pool whose processes are never all idle ends with its longest request
 * (docs/decisions/0008).
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { CpuBudget } from "../kernel/cpu-budget.ts";
import type { ClientLook } from "../sockets/client-probe.ts";

const { SIGTERM, SIGSTOP, SIGCONT } = constants.signals;
/** Interval between two looks, at least. In ms. */
const LOOK = 10;
/** Longest wait for processes to stop after STOP, which takes time on a busy machine. In ms. */
const PATIENCE = 100;

/** A tree that is to be drained. */
interface DrainTarget {
  /** The main process, which may have forked the others, or pass them their clients. */
  readonly main: ProcessIdentity;
  /** Its processes; undefined where there are too many to search. */
  members(): readonly ProcessIdentity[] | undefined;
  signal(process: ProcessIdentity, signal: number): void;
  /** @param since the sockets must have been looked at later than this (performance.now()) */
  look(since?: number): ClientLook;
  /** Processor time for it. */
  readonly budget: CpuBudget;
}

const runs = ({ pid }: ProcessIdentity): boolean => {
  try {
    return /^State:\s*[RSD]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

/** Starts draining. The returned function ends it at any point and continues stopped processes. */
export const drain = (tree: DrainTarget): (() => void) => {
  /** Pids of processes that had a client. Not the main one: the others may need it to serve their clients. */
  const workers = new Set<number>();
  /** Processes that were sent STOP. Those not being re-checked have no client. */
  const stopped = new Map<number, ProcessIdentity>();
  let timer: NodeJS.Timeout | undefined;
  let cancel: (() => void) | undefined;
  const release = (processes: Iterable<ProcessIdentity>): void => {
    for (const process of processes) {
      stopped.delete(process.pid);
      tree.signal(process, SIGCONT);
    }
  };
  const again = (): void => {
    timer = setTimeout(() => {
      cancel = tree.budget.inTurn(look);
    }, LOOK);
  };
  const idleOf = (processes: readonly ProcessIdentity[], serves: ClientLook): ProcessIdentity[] =>
    processes.filter((process) => {
      const found = serves(process);
      if (found && process.pid !== tree.main.pid) workers.add(process.pid);
      return found === false;
    });

  const look = (): void => {
    // Another process may have continued them, and clients may have come since.
    release([...stopped.values()].filter(runs));
    const loose = tree.members()?.filter(({ pid }) => !stopped.has(pid)) ?? [];
    const idle = idleOf(loose, tree.look());
    if (idle.length < loose.length) stop(idle.filter(({ pid }) => workers.has(pid)));
    else stop(loose.length > 0 ? idle : [...stopped.values()]);
  };
  const stop = (processes: readonly ProcessIdentity[]): void => {
    if (processes.length === 0) {
      again();
      return;
    }
    for (const process of processes) {
      stopped.set(process.pid, process);
      tree.signal(process, SIGSTOP);
    }
    lookStopped(processes, performance.now());
  };
  /**
   * @param latest processes that were sent STOP last
   * @param since when
   */
  const lookStopped = (latest: readonly ProcessIdentity[], since: number): void => {
    if (performance.now() - since < PATIENCE && latest.some(runs)) {
      timer = setTimeout(() => tree.budget.charge(() => lookStopped(latest, since)), 1);
      return;
    }
    const still = latest.filter((process) => !runs(process));
    const idle = new Set(idleOf(still, tree.look(performance.now())));
    release(latest.filter((process) => !idle.has(process)));
    // Read the list again: one of them may have forked before all were stopped.
    const members = stopped.size > 0 && idle.size === latest.length ? tree.members() : undefined;
    if (members?.every((process) => stopped.has(process.pid) && !runs(process))) {
      for (const process of members) tree.signal(process, SIGTERM);
      release(stopped.values());
      return;
    }
    release([...stopped.values()].filter(({ pid }) => !workers.has(pid)));
    again();
  };

  // An earlier supervisor that was killed while it drained has left them stopped.
  release(tree.members() ?? []);
  // Not at once: the record must say first that the run is draining, for only then does the next supervisor continue it.
  again();
  return () => {
    clearTimeout(timer);
    cancel?.();
    release(stopped.values());
  };
};
