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
    const host = this.#host;
    return {
      get budget() {
        return host.budget(owner);
      },
      earliest: (now) => {
        const { restarts } = host.budget(owner);
        return restarts ? nextRoom(this.#timesOf(owner), restarts.amount, now) : now;
      },
      restarted: () => {
        const now = this.#clock.now();
        this.#restarts.set(owner, [...recentOf(this.#timesOf(owner), now), now]);
      },
      logShare: () => host.logShare(owner),
    };
  }

  #timesOf(owner: string): readonly number[] {
    return this.#restarts.get(owner) ?? [];
  }
}
