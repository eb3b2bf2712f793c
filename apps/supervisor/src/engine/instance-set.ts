/** The instances of a daemon, by number. */
import { alive, type State } from "../core/lifecycle.ts";
import type { Instance } from "./instance.ts";

/** The representative instance is the first in this order. */
const PHASES_BY_RANK: readonly State["phase"][] = [
  "running",
  "starting",
  "stopping",
  "asleep",
  "coolingdown",
  "failed",
  "forbidden",
  "invalid",
  "stopped",
];

export class InstanceSet {
  readonly #create: (number: number, latestRun: number) => Instance;
  readonly #size: () => number;
  readonly #instances = new Map<number, Instance>();

  /**
   * @param create makes an instance; no live run of the daemon has a number above `latestRun`
   * @param size how many active ones there are to be
   */
  constructor(create: (number: number, latestRun: number) => Instance, size: () => number) {
    this.#create = create;
    this.#size = size;
    this.add();
  }

  /** In the order of their numbers, retiring ones included. */
  all(): readonly Instance[] {
    return [...this.#instances.values()].sort((a, b) => a.key.instance - b.key.instance);
  }

  /** Those that are not retiring. */
  active(): readonly Instance[] {
    return this.all().filter(({ retiring }) => !retiring);
  }

  get(number: number): Instance | undefined {
    return this.#instances.get(number);
  }

  /** The instance whose state is the daemon's. */
  representative(): Instance {
    const all = [...this.active(), ...this.all()];
    for (const phase of PHASES_BY_RANK) {
      const found = all.find(({ state }) => state.phase === phase);
      if (found) return found;
    }
    // A daemon always has an instance.
    return this.add();
  }

  add(number = this.#free()): Instance {
    const latest = Math.max(0, ...this.all().map(({ state }) => state.run));
    const instance = this.#create(number, latest);
    this.#instances.set(number, instance);
    return instance;
  }

  #free(): number {
    for (let number = 1; ; number += 1) if (!this.#instances.has(number)) return number;
  }

  /** Removes all, to make room for those that an earlier supervisor left. None has lived. */
  clear(): void {
    this.#instances.clear();
  }

  /** Drops a retiring instance that has ended. */
  dropEnded(instance: Instance): void {
    if (alive(instance.state) || !this.#instances.delete(instance.key.instance)) return;
    instance.close();
  }

  /** Makes the number of active ones right: some end, or others are added, which are not started yet. */
  fit(): readonly Instance[] {
    const active = this.active();
    const size = this.#size();
    for (const instance of active.slice(size)) this.dismiss(instance, "drain");
    const added: Instance[] = [];
    while (active.length + added.length < size) {
      const instance = this.add();
      const { block } = active[0]?.state ?? {};
      if (block) instance.feed({ type: "block", block });
      added.push(instance);
    }
    return added;
  }

  /** The same, and starts those that were added if the others are wanted up. */
  even(): void {
    const { want } = this.representative().state;
    const added = this.fit();
    if (want === "up") for (const instance of added) instance.feed({ type: "start" });
  }

  /** Ends an instance, which is not started again. */
  dismiss(instance: Instance, how: "drain" | "stop"): void {
    instance.retiring = true;
    instance.feed({ type: how });
    instance.remember();
    this.dropEnded(instance);
  }

  remember(): void {
    for (const instance of this.all()) instance.remember();
  }
}
