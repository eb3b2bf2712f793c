/** Holds runs to their memory where no cgroup does: looks at their sizes as long as there is one with a limit. */

import { alive } from "../core/lifecycle.ts";
import { type Overdrawn, overdrawn, pauseAfter } from "../core/memory-watch.ts";
import { roughSize, writeSize } from "../core/units.ts";
import type { Daemon } from "./daemon.ts";
import type { Instance } from "./instance.ts";
import type { Ports } from "./ports/ports.ts";
import type { Attendant } from "./ports/runs.ts";

/** Anything of a daemon's that lives, and what it is held to, in bytes. */
interface Watched {
  readonly run: Instance | Attendant;
  readonly owner: string;
  readonly daemon: string;
  readonly limit: number | undefined;
  readonly budget: number | undefined;
}

export class MemoryGuard {
  readonly #ports: Pick<Ports, "clock" | "limits">;
  readonly #daemons: () => readonly Daemon[];
  #cancel: (() => void) | undefined;

  constructor(ports: Pick<Ports, "clock" | "limits">, daemons: () => readonly Daemon[]) {
    this.#ports = ports;
    this.#daemons = daemons;
  }

  /** Begins to look, if this daemon is one to look at and it does not already. */
  watch(daemon: Daemon): void {
    if (
      this.#cancel ||
      this.#ports.limits.means.controllers.has("memory") ||
      !isLimited(daemon) ||
      !alive(daemon.state)
    )
      return;
    this.#cancel = this.#ports.clock.after(pauseAfter(0), () => this.#look());
  }

  end(): void {
    this.#cancel?.();
  }

  /**
   * Looks, and once more and again before anything is ended: memory that was given back at once, or that a process and the
   * next one had in common for a moment, is no reason.
   * @param suspects owners who had too much at each look so far; undefined at the first
   * @param spent what those looks took, in ms
   */
  #look(suspects?: ReadonlySet<string>, looks = 1, spent = 0): void {
    this.#cancel = undefined;
    const begun = this.#ports.clock.now();
    const found = this.#measure();
    if (!found) return;
    // Not by the run: which is the largest may change from look to look.
    const guilty = found.filter(({ owner }) => suspects?.has(owner) ?? true);
    const cost = spent + this.#ports.clock.now() - begun;
    if (guilty.length > 0 && looks < LOOKS) {
      const owners = new Set(guilty.map(({ owner }) => owner));
      this.#cancel = this.#ports.clock.after(CONFIRMATION, () => this.#look(owners, looks + 1, cost));
      return;
    }
    for (const { run, limit, size } of guilty) {
      if ("exceed" in run) run.exceed(limit, size);
      else run.end(`out of memory: used ${roughSize(size)} of ${writeSize(limit)}`);
    }
    this.#cancel = this.#ports.clock.after(pauseAfter(cost), () => this.#look());
  }

  /** What has too much at this moment; undefined where there is nothing to measure. */
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
    const all = [...living, ...daemon.attendants()];
    return all.map((run) => ({ run, owner: daemon.key.owner.name, daemon: daemon.id, limit, budget }));
  }
}

/** How often something is found to be too much before it is ended, and how long it takes to the next look, in ms. */
const LOOKS = 3;
const CONFIRMATION = 15;

const isLimited = (daemon: Daemon): boolean =>
  daemon.memoryLimit !== undefined || daemon.ownerContext.budget.memory !== undefined;

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
