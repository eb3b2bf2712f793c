/** Requests that wait for their outcome. */
import { alive } from "../core/lifecycle.ts";
import { type RequestResult, requestStatus } from "../core/request-status.ts";
import type { InstanceSet } from "./instance-set.ts";

/** Number of the latest run of each instance at one moment. */
export type LatestRuns = ReadonlyMap<number, number>;

interface Waiter {
  readonly desired: "up" | "down";
  readonly since: LatestRuns;
  readonly resolve: (outcome: RequestResult) => void;
}

export class Waiters {
  #waiters: Waiter[] = [];

  /** Resolves when `answer` finds that the desired state is reached or cannot be reached. */
  wait(desired: "up" | "down", since: LatestRuns): Promise<RequestResult> {
    return new Promise((resolve) => {
      this.#waiters.push({ desired, since, resolve });
    });
  }

  /** A run of this instance was launched before the requests that wait now, though its number is higher: it is ended for them. */
  excuse(instance: number, run: number): void {
    this.#waiters = this.#waiters.map((waiter) => ({ ...waiter, since: new Map([...waiter.since, [instance, run]]) }));
  }

  /** Answers all waiters with a failure. */
  abandon(reason: string): void {
    for (const { resolve } of this.#waiters) resolve({ ok: false, reason, ran: false });
    this.#waiters = [];
  }

  /** Answers the waiters whose outcome the present states of the daemon's instances decide. */
  answer(instances: Pick<InstanceSet, "all" | "awaitsRoom">): void {
    this.#waiters = this.#waiters.filter(({ resolve, ...waiter }) => {
      const outcome = outcomeOf(waiter, instances);
      if (outcome) resolve(outcome);
      return outcome === undefined;
    });
  }
}

const outcomeOf = (
  { desired, since }: Pick<Waiter, "desired" | "since">,
  instances: Pick<InstanceSet, "all" | "awaitsRoom">,
): RequestResult | undefined => {
  let pending = desired === "down" ? instances.all().some(({ state }) => alive(state)) : instances.awaitsRoom;
  for (const { key, state, obstacle } of instances.all().filter(({ retiring, candidate }) => !retiring && !candidate)) {
    const former = since.get(key.instance) ?? 0;
    if (desired === "up" && obstacle && state.run > former) return { ok: false, reason: obstacle, ran: false };
    const status = requestStatus(state, desired, former);
    if (status === "pending") pending = true;
    else if (!status.ok) return status;
  }
  return pending ? undefined : { ok: true };
};
