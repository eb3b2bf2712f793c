/** Those who have asked for something and wait for its end. */
import { alive, verdict } from "../core/lifecycle.ts";
import type { Instance } from "./instance.ts";

/** How an attempt ended: `ran` tells whether a process of it has lived. */
export type Ending = { readonly ok: true } | { readonly ok: false; readonly reason: string; readonly ran: boolean };

/** Number of the latest run of each instance at some moment. */
export type Runs = ReadonlyMap<number, number>;

interface Waiter {
  readonly wish: "up" | "down";
  readonly since: Runs;
  readonly resolve: (ending: Ending) => void;
}

export class Waiters {
  #waiters: Waiter[] = [];

  /** Resolves when what was asked for has come about, or cannot; `answer` tells. */
  wait(wish: "up" | "down", since: Runs): Promise<Ending> {
    return new Promise((resolve) => {
      this.#waiters.push({ wish, since, resolve });
    });
  }

  /** Answers all: there is nothing to wait for any more. */
  abandon(reason: string): void {
    for (const { resolve } of this.#waiters) resolve({ ok: false, reason, ran: false });
    this.#waiters = [];
  }

  /** Tells those whose wait is over, as the instances of their daemon are now. */
  answer(instances: readonly Instance[]): void {
    this.#waiters = this.#waiters.filter(({ resolve, ...waiter }) => {
      const ending = endingOf(waiter, instances);
      if (ending) resolve(ending);
      return ending === undefined;
    });
  }
}

const endingOf = (
  { wish, since }: Pick<Waiter, "wish" | "since">,
  instances: readonly Instance[],
): Ending | undefined => {
  let pending = wish === "down" && instances.some(({ state }) => alive(state));
  for (const { key, state, waiting } of instances.filter(({ retiring, candidate }) => !retiring && !candidate)) {
    const former = since.get(key.instance) ?? 0;
    if (wish === "up" && waiting && state.run > former) return { ok: false, reason: waiting, ran: false };
    const said = verdict(state, wish, former);
    if (said === "pending") pending = true;
    else if (!said.ok) {
      const ran = state.last !== undefined && state.last.run > former && state.last.exit.how !== "launch";
      return { ok: false, reason: said.reason, ran };
    }
  }
  return pending ? undefined : { ok: true };
};
