/** Whether a request for a desired state has been fulfilled. */
import { describeExit } from "./exit.ts";
import { alive, type State } from "./lifecycle.ts";

/** How a request ended. `ran`: whether a process that was started for it has lived. */
export type RequestResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly reason: string; readonly ran: boolean };

/** How far a request is. */
type RequestStatus = "pending" | RequestResult;

/** Number of the latest run before a start is requested: a run that is starting already counts as started by it. */
export const runBeforeStart = ({ phase, run }: State): number => (phase === "starting" ? run - 1 : run);

/**
 * Whether the desired state has been reached, or cannot be reached.
 * @param since number of the latest run at the time of the request
 */
export const requestStatus = (state: State, desired: "up" | "down", since: number): RequestStatus => {
  const { block, last } = state;
  const failed = (reason: string): RequestResult => {
    return { ok: false, reason, ran: last !== undefined && last.run > since && last.exit.how !== "launch-failed" };
  };
  if (block && !alive(state)) return desired === "down" ? { ok: true } : failed(block.reason);
  if (desired === "down") {
    if (state.want === "up") return failed("a start was requested meanwhile");
    return alive(state) ? "pending" : { ok: true };
  }
  const hasEnded = (last?.run ?? 0) > since && !state.stopRequested;
  if (state.want === "down" && !hasEnded) return failed("a stop was requested meanwhile");
  if (state.phase === "running" || state.phase === "asleep") return { ok: true };
  const isOver = state.phase === "failed" || hasEnded;
  return last && isOver ? failed(describeExit(last.exit)) : "pending";
};
