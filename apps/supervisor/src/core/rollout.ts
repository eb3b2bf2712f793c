/**
 * Rolling restart: the next move, decided from the states of the instances. It replaces one instance at a time: the
 * candidate starts before the old instance ends. If the candidate fails, the old instance stays.
 */
import type { Definition } from "./definition.ts";
import { describeExit } from "./exit.ts";
import { alive, type State } from "./lifecycle.ts";
import { writeDuration } from "./units.ts";

/** Progress of a rolling restart. Plain data. */
export interface Rollout {
  /** Instances that are still to be replaced, the next one first. */
  readonly queue: readonly number[];
  /** The instance that is being replaced, and its candidate. */
  readonly pair: { readonly old: number; readonly candidate: number } | undefined;
  /** How many were replaced so far. */
  readonly replaced: number;
}

/** The part of an instance that a rollout reads. */
export interface Standing {
  readonly state: State;
  /** Whether it had a client; with listen=path, whether its socket is published. */
  readonly reached: boolean;
}

/** The next move of a rollout. */
export type Move =
  /** Start a candidate for `old`. */
  | { readonly move: "begin"; readonly old: number }
  /** The candidate is ready: drain and terminate the old instance. */
  | { readonly move: "drain"; readonly old: number }
  | { readonly move: "wait" }
  /** The old instance has ended. */
  | { readonly move: "pass" }
  /** The candidate failed: end it and keep the old instance. */
  | { readonly move: "back"; readonly candidate: number; readonly reason: string }
  | { readonly move: "done" };

type Rules = Pick<Definition, "ready" | "readyAfter" | "readyTimeout" | "listen">;

const isReady = ({ state, reached }: Standing, rules: Rules, now: number): boolean => {
  if (state.phase !== "running" || state.paused) return false;
  if (reached || rules.ready !== "accept") return reached || rules.listen !== "path";
  return rules.listen !== "path" && now - (state.startedAt ?? now) >= rules.readyAfter;
};

/**
 * The next move.
 * @param standing of an instance; undefined where it does not exist
 * @param rules of the candidate
 * @param now by the supervisor's clock, in ms
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
  if (!candidate || candidate.state.want === "down") return back("a stop was requested meanwhile");
  if (candidate.state.block) return back(candidate.state.block.reason);
  const old = standing(pair.old);
  if (!old || old.state.want === "down") return old && alive(old.state) ? { move: "wait" } : { move: "pass" };
  if (candidate.state.last) return back(describeExit(candidate.state.last.exit));
  if (isReady(candidate, rules, now)) return { move: "drain", old: pair.old };
  return isOverdue(candidate, rules, now)
    ? back(`did not bind its socket within ${writeDuration(rules.readyTimeout)} (ready-timeout)`)
    : { move: "wait" };
};

/** Whether its time to bind a socket has passed. */
const isOverdue = ({ state, reached }: Standing, { listen, readyAfter, readyTimeout }: Rules, now: number): boolean =>
  listen === "path" &&
  state.phase === "running" &&
  !reached &&
  !state.paused &&
  now - (state.startedAt ?? now) >= readyAfter + readyTimeout;

/** The rollout with `candidate` as the candidate for the first instance of the queue. */
export const paired = ({ queue, replaced }: Rollout, candidate: number): Rollout => ({
  queue: queue.slice(1),
  pair: queue[0] === undefined ? undefined : { old: queue[0], candidate },
  replaced,
});

/** The rollout after a replacement. */
export const passed = ({ queue, replaced }: Rollout): Rollout => ({ queue, pair: undefined, replaced: replaced + 1 });
