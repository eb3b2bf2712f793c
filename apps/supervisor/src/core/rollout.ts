/**
 * A rolling restart: what to do next, told from how the instances stand. One at a time, the new begins before the old is
 * ended; where the new one is not as it should be, the old one goes on.
 */
import type { Definition } from "./definition.ts";
import { alive, describeExit, type State } from "./lifecycle.ts";
import { writeDuration } from "./units.ts";

/** Where a rolling restart stands. Plain data. */
export interface Rollout {
  /** Instances that are still to be replaced, the next one first. */
  readonly queue: readonly number[];
  /** The one that is being replaced and the one that replaces it. */
  readonly pair: { readonly old: number; readonly candidate: number } | undefined;
  /** How many were replaced so far. */
  readonly replaced: number;
}

/** An instance as a rollout looks at it. */
export interface Standing {
  readonly state: State;
  /** Whether a client has been seen with it; with listen=path, whether its socket is published. */
  readonly reached: boolean;
}

/** The next move of a rollout. */
export type Move =
  /** Begin an instance that is to replace `old`. */
  | { readonly move: "begin"; readonly old: number }
  /** The new one is ready: the old one may go. */
  | { readonly move: "drain"; readonly old: number }
  | { readonly move: "wait" }
  /** The old one has gone. */
  | { readonly move: "pass" }
  /** The new one is not as it should be: it goes, and the old one stays. */
  | { readonly move: "back"; readonly candidate: number; readonly reason: string }
  | { readonly move: "done" };

type Rules = Pick<Definition, "ready" | "readyAfter" | "readyTimeout" | "listen">;

const isReady = ({ state, reached }: Standing, rules: Rules, now: number): boolean => {
  if (state.phase !== "running" || state.paused) return false;
  if (reached || rules.ready !== "accept") return reached || rules.listen !== "path";
  return rules.listen !== "path" && now - (state.startedAt ?? now) >= rules.readyAfter;
};

/**
 * What to do next.
 * @param standing of an instance, undefined when it is no more
 * @param rules of the new instances
 * @param now the supervisor's clock, in ms
 */
export const nextMove = (
  { queue, pair }: Rollout,
  standing: (instance: number) => Standing | undefined,
  rules: Rules,
  now: number,
): Move => {
  if (pair === undefined) {
    const [old] = queue;
    return old === undefined ? { move: "done" } : { move: "begin", old };
  }
  const back = (reason: string): Move => ({ move: "back", candidate: pair.candidate, reason });
  const candidate = standing(pair.candidate);
  if (!candidate || candidate.state.want === "down") return back("it was asked to stop meanwhile");
  if (candidate.state.block) return back(candidate.state.block.reason);
  const old = standing(pair.old);
  if (!old || old.state.want === "down") return old && alive(old.state) ? { move: "wait" } : { move: "pass" };
  if (candidate.state.last) return back(describeExit(candidate.state.last.exit));
  if (isReady(candidate, rules, now)) return { move: "drain", old: pair.old };
  return isOverdue(candidate, rules, now)
    ? back(`did not bind its socket within ${writeDuration(rules.readyTimeout)} (ready-timeout)`)
    : { move: "wait" };
};

/** Whether it has had its time to bind the socket itself. */
const isOverdue = ({ state, reached }: Standing, { listen, readyAfter, readyTimeout }: Rules, now: number): boolean =>
  listen === "path" &&
  state.phase === "running" &&
  !reached &&
  !state.paused &&
  now - (state.startedAt ?? now) >= readyAfter + readyTimeout;

/** The rollout with a pair at hand: `candidate` is to replace the next one in the queue. */
export const paired = ({ queue, replaced }: Rollout, candidate: number): Rollout => ({
  queue: queue.slice(1),
  pair: queue[0] === undefined ? undefined : { old: queue[0], candidate },
  replaced,
});

/** The rollout after a pair has changed places. */
export const passed = ({ queue, replaced }: Rollout): Rollout => ({ queue, pair: undefined, replaced: replaced + 1 });
