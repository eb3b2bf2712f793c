/** The instances of a daemon, by number. */
import { alive, type State } from "../core/lifecycle.ts";
import type { Instance } from "./instance.ts";

/** The representative instance is the first one in this order of phases. */
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
   * @param size desired number of active instances
   */
  constructor(create: (number: number, latestRun: number) => Instance, size: () => number) {
    this.#create = create;
    this.#size = size;
    this.add();
  }

  /** All instances by number, retiring ones included. */
  all(): readonly Instance[] {
    return [...this.#instances.values()].sort((a, b) => a.key.instance - b.key.instance);
  }

  /** The instances that are not retiring. */
  active(): readonly Instance[] {
    return this.all().filter(({ retiring }) => !retiring);
  }

  /** Number of retiring instances: their runs still live. */
  get #retiring(): number {
    return this.all().filter(({ retiring, state }) => retiring && alive(state)).length;
  }

  /**
   * Whether one more instance may start: with retiring runs, at most one run more than the size lives.
   * @param size that counts, where it is larger than the desired one
   */
  hasRoom(size = 0): boolean {
    return this.#retiring + this.active().length <= Math.max(size, this.#size());
  }

  /** Whether instances are missing until retiring runs have ended. */
  get awaitsRoom(): boolean {
    return this.active().length < this.#size() && this.#retiring > 0;
  }

  /** Desired state of the active instances. */
  desired(): State["want"] {
    return this.active().some(({ state }) => state.want === "up") ? "up" : "down";
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

  /** Removes all instances. None of them may have had a run. */
  clear(): void {
    this.#instances.clear();
  }

  /** Drops a retiring instance whose run has ended. */
  dropEnded(instance: Instance): void {
    const { instance: number } = instance.key;
    // Its number may be another instance's by now.
    if (alive(instance.state) || this.#instances.get(number) !== instance) return;
    this.#instances.delete(number);
    instance.close();
  }

  /**
   * Adjusts the number of active instances: those with the highest numbers become retiring, or new ones are added as far as there is room and
   * the daemon is not blocked. Returns those, not started.
   */
  fit(): readonly Instance[] {
    const size = this.#size();
    for (const instance of this.active().slice(size)) this.dismiss(instance, "drain");
    if (this.active().some(({ state }) => state.block)) return [];
    const added: Instance[] = [];
    while (this.active().length < size && this.hasRoom()) added.push(this.add());
    return added;
  }

  /** Makes one active instance retiring and returns another in its place, not started, whether or not there is room. */
  replace(instance: Instance): Instance {
    instance.retiring = true;
    return this.add();
  }

  /** Adjusts the number of active instances and starts the new ones like the others. */
  even(): void {
    const up = this.active().filter(({ state }) => state.want === "up");
    const added = this.fit();
    if (up.length === 0) return;
    const type = up.every(({ state }) => state.once) ? "once" : "start";
    for (const instance of added) instance.feed({ type });
  }

  /** Makes an instance retiring. */
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
