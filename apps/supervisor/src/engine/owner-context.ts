/** What all daemons of an owner share: the budget, the restarts of the last minute, and the share of each log. */
import { type Budget, nextRoom, recentOf } from "../core/budget.ts";
import type { Clock } from "./ports/clock.ts";

export interface OwnerContext {
  readonly budget: Budget;
  /** When the budget permits the next restart: `now`, or later. In ms. */
  earliest(now: number): number;
  /** Counts a restart. */
  restarted(): void;
  /** Bytes that each log of the owner may have; undefined is without limit. */
  logShare(): number | undefined;
}

/** What the owner contexts read of the supervisor. */
interface OwnerContextsHost {
  /** The owner's budget by the policy in force. */
  budget(owner: string): Budget;
  logShare(owner: string): number | undefined;
}

class Context implements OwnerContext {
  readonly #owner: string;
  readonly #clock: Pick<Clock, "now">;
  readonly #host: OwnerContextsHost;
  readonly #restarts: Map<string, readonly number[]>;

  constructor(
    owner: string,
    clock: Pick<Clock, "now">,
    host: OwnerContextsHost,
    restarts: Map<string, readonly number[]>,
  ) {
    this.#owner = owner;
    this.#clock = clock;
    this.#host = host;
    this.#restarts = restarts;
  }

  get budget(): Budget {
    return this.#host.budget(this.#owner);
  }
  earliest(now: number): number {
    const { restarts } = this.budget;
    return restarts ? nextRoom(this.#times, restarts.amount, now) : now;
  }
  restarted(): void {
    const now = this.#clock.now();
    this.#restarts.set(this.#owner, [...recentOf(this.#times, now), now]);
  }
  logShare(): number | undefined {
    return this.#host.logShare(this.#owner);
  }
  get #times(): readonly number[] {
    return this.#restarts.get(this.#owner) ?? [];
  }
}

/** Makes the context of each owner, and counts the owner's restarts. */
export class OwnerContexts {
  readonly #clock: Pick<Clock, "now">;
  readonly #host: OwnerContextsHost;
  /** Times of restarts, by owner. In ms. */
  readonly #restarts = new Map<string, readonly number[]>();

  constructor(clock: Pick<Clock, "now">, host: OwnerContextsHost) {
    this.#clock = clock;
    this.#host = host;
  }

  of(owner: string): OwnerContext {
    return new Context(owner, this.#clock, this.#host, this.#restarts);
  }
}
