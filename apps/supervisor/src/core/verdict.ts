/** Whether a request for a desired state has been fulfilled. */
import { describeExit } from "./exit.ts";
import { alive, type State } from "./lifecycle.ts";

/** Result of a request so far. */
export type Verdict = "pending" | { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Whether the desired state has been reached.
 * @param since number of the latest run at the time of the request
 */
export const verdict = (state: State, desired: "up" | "down", since: number): Verdict => {
  if (state.block && !alive(state))
    return desired === "down" ? { ok: true } : { ok: false, reason: state.block.reason };
  if (desired === "down") {
    if (state.want === "up") return { ok: false, reason: "a start was requested meanwhile" };
    return alive(state) ? "pending" : { ok: true };
  }
  const hasEnded = (state.last?.run ?? 0) > since && !state.stopRequested;
  if (state.want === "down" && !hasEnded) return { ok: false, reason: "a stop was requested meanwhile" };
  if (state.phase === "running" || state.phase === "asleep") return { ok: true };
  const isOver = state.phase === "failed" || hasEnded;
  return state.last && isOver ? { ok: false, reason: describeExit(state.last.exit) } : "pending";
};
