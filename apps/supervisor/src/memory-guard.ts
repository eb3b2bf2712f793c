/** Holds runs to their memory where no cgroup does: looks at their sizes as long as there is one with a limit. */
import { alive } from "./core/lifecycle.ts";
import { overdrawn, pauseAfter } from "./core/memory-watch.ts";
import type { Daemon } from "./daemon.ts";
import type { Instance } from "./instance.ts";
import type { Machine } from "./machine.ts";

/** A run that lives, and what it is held to, in bytes. */
interface Watched {
  readonly run: Instance;
  readonly owner: string;
  readonly daemon: string;
  readonly limit: number | undefined;
  readonly budget: number | undefined;
}

export class MemoryGuard {
  readonly #machine: Machine;
  readonly #daemons: () => readonly Daemon[];
  #cancel: (() => void) | undefined;

  constructor(machine: Machine, daemons: () => readonly Daemon[]) {
    this.#machine = machine;
    this.#daemons = daemons;
  }

  /** Begins to look, if this daemon is one to look at and it does not already. */
  watch(daemon: Daemon): void {
    if (this.#cancel || this.#machine.means.controllers.has("memory") || !isWatched(daemon)) return;
    this.#cancel = this.#machine.after(pauseAfter(0), () => this.#look());
  }

  end(): void {
    this.#cancel?.();
  }

  #look(): void {
    this.#cancel = undefined;
    const begun = this.#machine.now();
    const runs = this.#daemons().filter(isWatched).flatMap(runsOf);
    if (runs.length === 0) return;
    const doubtful = doubtOf(runs);
    const sizes = this.#machine.sizes(runs.map((each) => ({ key: each.run.key, doubtful: doubtful(each) })));
    const sized = runs.map((each, index) => ({ ...each, size: sizes[index] ?? 0 }));
    for (const { run, limit, size } of overdrawn(sized)) run.exceed(limit, size);
    this.#cancel = this.#machine.after(pauseAfter(this.#machine.now() - begun), () => this.#look());
  }
}

const isWatched = (daemon: Daemon): boolean =>
  alive(daemon.state) && (daemon.memoryLimit !== undefined || daemon.household.budget.memory !== undefined);

const runsOf = (daemon: Daemon): Watched[] => {
  const limit = daemon.memoryLimit;
  const budget = daemon.household.budget.memory?.amount;
  const living = daemon.instances().filter(({ state }) => alive(state));
  return living.map((run) => ({ run, owner: daemon.key.owner.name, daemon: daemon.id, limit, budget }));
};

/** From which size on a run is to be measured exactly: one of several is doubtful from its even share on. */
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
