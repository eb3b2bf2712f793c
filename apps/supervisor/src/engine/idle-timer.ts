/** Tells when nobody has wanted anything of a daemon for a while. */
import type { Machine } from "./ports/machine.ts";

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

export class Idleness {
  readonly #machine: Pick<Machine, "now" | "after">;
  readonly #watched: Watched;
  #lastClient = 0;
  #cancel: (() => void) | undefined;

  constructor(machine: Pick<Machine, "now" | "after">, watched: Watched) {
    this.#machine = machine;
    this.#watched = watched;
  }

  /** Begins to look, if it does not already. */
  watch(): void {
    const timeout = this.#watched.timeout();
    if (timeout === undefined || this.#cancel) return;
    this.#lastClient = this.#machine.now();
    this.#again(timeout);
  }

  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #again(timeout: number): void {
    this.#cancel = this.#machine.after(Math.max(timeout / LOOKS, SHORTEST), () => this.#look());
  }

  #look(): void {
    this.#cancel = undefined;
    const timeout = this.#watched.timeout();
    if (timeout === undefined) return;
    const busy = this.#watched.busy();
    if (busy) this.#lastClient = this.#machine.now();
    else if (busy === false && this.#machine.now() - this.#lastClient >= timeout) {
      this.#watched.idle();
      return;
    }
    this.#again(timeout);
  }
}
