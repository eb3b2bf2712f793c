/** Enforces memory limits where no cgroup does: measures the runs while one with a limit lives. */
import { alive } from "../core/lifecycle.ts";
import { type Overdrawn, overdrawn, pauseAfter } from "../core/memory-watch.ts";
import { roughSize, writeSize } from "../core/units.ts";
import type { Daemon } from "./daemon.ts";
import type { Instance } from "./instance.ts";
import type { Ports } from "./ports/ports.ts";
import type { HelperProcess } from "./ports/processes.ts";

/** A live run or helper process, and its limits in bytes. */
interface Watched {
  readonly run: Instance | HelperProcess;
  readonly owner: string;
  readonly daemon: string;
  readonly limit: number | undefined;
  readonly budget: number | undefined;
}

export class MemoryGuard {
  readonly #ports: Pick<Ports, "clock" | "machine">;
  readonly #daemons: () => readonly Daemon[];
  #cancel: (() => void) | undefined;

  constructor(ports: Pick<Ports, "clock" | "machine">, daemons: () => readonly Daemon[]) {
    this.#ports = ports;
    this.#daemons = daemons;
  }

  /** Starts measuring, unless that is under way, where this daemon has a memory limit and a live run. */
  watch(daemon: Daemon): void {
    if (
      this.#cancel ||
      this.#ports.machine.means.controllers.has("memory") ||
      !isLimited(daemon) ||
      !alive(daemon.state)
    )
      return;
    this.#cancel = this.#ports.clock.after(pauseAfter(0), () => this.#check());
  }

  end(): void {
    this.#cancel?.();
  }

  /**
   * Measures several times before it ends a run: memory that is freed at once, or that a process shares with its successor
   * for a moment, is no excess.
   * @param suspects owners with an excess in each measurement so far; undefined at the first
   * @param spent processor time of those measurements, in ms
   */
  #check(suspects?: ReadonlySet<string>, count = 1, spent = 0): void {
    this.#cancel = undefined;
    const before = this.#ports.clock.used();
    const found = this.#measure();
    if (!found) return;
    // By owner: another run may be the largest in the next measurement.
    const exceeding = found.filter(({ owner }) => suspects?.has(owner) ?? true);
    const cost = spent + this.#ports.clock.used() - before;
    if (exceeding.length > 0 && count < CONFIRMATIONS) {
      const owners = new Set(exceeding.map(({ owner }) => owner));
      this.#cancel = this.#ports.clock.after(CONFIRMATION_DELAY, () => this.#check(owners, count + 1, cost));
      return;
    }
    for (const { run, limit, size } of exceeding) {
      if ("exceed" in run) run.exceed(limit, size);
      else run.end(`out of memory: used ${roughSize(size)} of ${writeSize(limit)}`);
    }
    this.#cancel = this.#ports.clock.after(pauseAfter(cost), () => this.#check());
  }

  /** Runs that exceed a limit now; undefined where there is nothing to measure. */
  #measure(): readonly (Overdrawn<Watched["run"]> & Pick<Watched, "owner">)[] | undefined {
    const runs = this.#daemons()
      .filter(isLimited)
      .flatMap((daemon) => this.#runsOf(daemon));
    if (runs.length === 0) return undefined;
    const doubtful = doubtOf(runs);
    const sized = runs.map((each) => ({ ...each, size: each.run.size(doubtful(each)) ?? 0 }));
    const owners = new Map(runs.map(({ run, owner }) => [run, owner]));
    return overdrawn(sized).map((each) => ({ ...each, owner: owners.get(each.run) ?? "" }));
  }

  #runsOf(daemon: Daemon): Watched[] {
    const limit = daemon.memoryLimit;
    const budget = daemon.ownerContext.budget.memory?.amount;
    const living = daemon.instances().filter(({ state }) => alive(state));
    const all = [...living, ...daemon.helperProcesses()];
    return all.map((run) => ({ run, owner: daemon.key.owner.name, daemon: daemon.id, limit, budget }));
  }
}

/** Measurements with an excess before a run is ended, and the delay between them, in ms. */
const CONFIRMATIONS = 3;
const CONFIRMATION_DELAY = 15;

const isLimited = (daemon: Daemon): boolean =>
  daemon.memoryLimit !== undefined || daemon.ownerContext.budget.memory !== undefined;

/** Size from which on a run is measured exactly: its even share of the limit. */
const doubtOf = (runs: readonly Watched[]): ((run: Watched) => number) => {
  const counts = (of: (run: Watched) => string): Map<string, number> => {
    const found = new Map<string, number>();
    for (const run of runs) found.set(of(run), (found.get(of(run)) ?? 0) + 1);
    return found;
  };
  const [ofDaemon, ofOwner] = [counts(({ daemon }) => daemon), counts(({ owner }) => owner)];
  const share = (amount: number | undefined, among = 1): number => (amount ?? Number.POSITIVE_INFINITY) / among;
  return ({ limit, budget, owner, daemon }) =>
    Math.min(share(limit, ofDaemon.get(daemon)), share(budget, ofOwner.get(owner)));
};
