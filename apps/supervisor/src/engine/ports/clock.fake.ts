/** A hand clock: time passes only by `advance`. */
import type { Clock } from "./clock.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly then: () => void;
  /** Whether it belongs to a process outside of the supervisor. */
  readonly outside: boolean;
}

export class FakeClock implements Clock {
  #now = 1_000_000;
  #order = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }
  /** Processor time is used only by this. In ms. */
  usedTime = 0;
  used(): number {
    return this.usedTime;
  }
  /** Lets time pass without a turn for any timer, as on a busy machine. */
  stall(ms: number): void {
    this.#now += ms;
  }
  random(): number {
    return 0.5;
  }
  after(delay: number, then: () => void): () => void {
    return this.#add(delay, then, false);
  }
  /** The same for what happens outside of the supervisor: it happens even when that is replaced. */
  outside(delay: number, then: () => void): () => void {
    return this.#add(delay, then, true);
  }
  /** Drops the supervisor's timers, as its death does. */
  forget(): void {
    for (const timer of this.#timers) if (!timer.outside) this.#timers.delete(timer);
  }

  #add(delay: number, then: () => void, outside: boolean): () => void {
    this.#order += 1;
    const timer = { at: this.#now + Math.max(0, delay), order: this.#order, then, outside };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** The timer that is due first, where one is due by then. */
  #next(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at > until) continue;
      if (!first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    }
    return first;
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
    this.#now = Math.max(this.#now, until);
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
