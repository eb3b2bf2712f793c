/** Tells when nobody has wanted anything of a daemon for a while. */
import type { Clock } from "./ports/clock.ts";

/** How often it looks in the time after which nobody is said to want anything. */
const LOOKS = 8;
/** Between two looks at least. In ms. */
const SHORTEST = 10;

/** What it needs of the daemon. */
export interface Watched {
  /** Time without a client after which it is idle, in ms; undefined when it does not matter. */
  timeout(): number | undefined;
  /** Whether a client is there, or was since the last look; undefined where that takes too long to find out. */
  busy(): boolean | undefined;
  idle(): void;
}

export class IdleTimer {
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #watched: Watched;
  #lastClient = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Pick<Clock, "now" | "after">, watched: Watched) {
    this.#clock = clock;
    this.#watched = watched;
  }

  /** Begins to look, if it does not already. */
  watch(): void {
    const timeout = this.#watched.timeout();
    if (timeout === undefined || this.#cancel) return;
    this.#lastClient = this.#clock.now();
    this.#again(timeout);
  }

  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #again(timeout: number): void {
    this.#cancel = this.#clock.after(Math.max(timeout / LOOKS, SHORTEST), () => this.#look());
  }

  #look(): void {
    this.#cancel = undefined;
    const timeout = this.#watched.timeout();
    if (timeout === undefined) return;
    const busy = this.#watched.busy();
    if (busy) this.#lastClient = this.#clock.now();
    else if (busy === false && this.#clock.now() - this.#lastClient >= timeout) {
      this.#watched.idle();
      return;
    }
    this.#again(timeout);
  }
}
