/** Detects that a daemon has had no client for its idle-timeout. */
import type { Clock } from "./ports/clock.ts";

/** Checks per timeout. */
const CHECKS = 8;
/** Shortest delay between two checks. In ms. */
const SHORTEST_DELAY = 10;

/** What the timer needs of the daemon. */
interface IdleTarget {
  /** Time without a client after which the daemon is idle, in ms; undefined where it cannot be idle. */
  timeout(): number | undefined;
  /** Whether it has a client, or had one since the last check; undefined where that takes too long to find out. */
  busy(): boolean | undefined;
  idle(): void;
}

export class IdleTimer {
  readonly #clock: Pick<Clock, "now" | "after">;
  readonly #target: IdleTarget;
  #lastClient = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Pick<Clock, "now" | "after">, target: IdleTarget) {
    this.#clock = clock;
    this.#target = target;
  }

  /** Starts the checks, unless they are under way. */
  watch(): void {
    const timeout = this.#target.timeout();
    if (timeout === undefined || this.#cancel) return;
    this.#lastClient = this.#clock.now();
    this.#again(timeout);
  }

  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #again(timeout: number): void {
    this.#cancel = this.#clock.after(Math.max(timeout / CHECKS, SHORTEST_DELAY), () => this.#check());
  }

  #check(): void {
    this.#cancel = undefined;
    const timeout = this.#target.timeout();
    if (timeout === undefined) return;
    const busy = this.#target.busy();
    if (busy) this.#lastClient = this.#clock.now();
    else if (busy === false && this.#clock.now() - this.#lastClient >= timeout) {
      this.#target.idle();
      return;
    }
    this.#again(timeout);
  }
}
