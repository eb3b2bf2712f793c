/** How often the web server is reloaded. */
import type { Clock } from "./ports/clock.ts";

/** Reloads in a row without a pause. After each, the workers from before it stay until their clients are served. */
export const BURST = 3;

/** A token bucket: a burst of reloads, then one in each interval. */
export class ReloadPace {
  readonly #clock: Pick<Clock, "now">;
  readonly #interval: number;
  /** When the bucket is full again. */
  #full = 0;

  /** @param interval in ms */
  constructor(clock: Pick<Clock, "now">, interval: number) {
    this.#clock = clock;
    this.#interval = interval;
  }

  /** Until the next reload is due, in ms; 0: now. */
  wait(): number {
    return Math.max(0, this.#full - (BURST - 1) * this.#interval - this.#clock.now());
  }

  /** Counts a reload. */
  take(): void {
    this.#full = Math.max(this.#full, this.#clock.now()) + this.#interval;
  }
}
