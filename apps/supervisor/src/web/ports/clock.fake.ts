import type { SiteClock } from "./clock.ts";

/** A clock that a test moves by hand. */
export class HandClock implements SiteClock {
  #now = 0;
  readonly #timers = new Map<object, { readonly at: number; readonly then: () => void }>();

  now(): number {
    return this.#now;
  }

  after(delay: number, then: () => void): () => void {
    const key = {};
    this.#timers.set(key, { at: this.#now + delay, then });
    return () => this.#timers.delete(key);
  }

  /** Timers that have not fired yet. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `time` ms pass. What follows each timer without another timer is done before the next one fires. */
  async pass(time: number): Promise<void> {
    await settle();
    for (const end = this.#now + time; ; ) {
      const next = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!next) {
        this.#now = end;
        return;
      }
      const [key, { at, then }] = next;
      this.#timers.delete(key);
      this.#now = Math.max(this.#now, at);
      then();
      await settle();
    }
  }
}

/** Lets all promises that wait for no timer be fulfilled. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
