/** A hand clock: time passes only by `advance`. */
import type { Clock } from "./clock.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly then: () => void;
}

export class FakeClock implements Clock {
  #now = 1_000_000;
  #order = 0;
  #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }
  random(): number {
    return 0.5;
  }
  after(delay: number, then: () => void): () => void {
    this.#order += 1;
    const timer = { at: this.#now + Math.max(0, delay), order: this.#order, then };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that are due within `ms`, in the order in which they are due. */
  #next(until: number): Timer | undefined {
    const due = [...this.#timers].filter(({ at }) => at <= until);
    return due.sort((a, b) => a.at - b.at || a.order - b.order)[0];
  }

  /** Lets `ms` pass; promises that timers have resolved are run in between. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settled();
    for (let timer = this.#next(until); timer; timer = this.#next(until)) {
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, timer.at);
      timer.then();
      await settled();
    }
    this.#now = until;
  }

  /** When the next timer is due, in ms from now; undefined when there is none. */
  get due(): number | undefined {
    const next = this.#next(Number.POSITIVE_INFINITY);
    return next && next.at - this.#now;
  }
}

/** Resolves when promises that were resolved before have run. */
export const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};
