/** The `finish` program of a service directory: it runs after each run, before the supervisor reports the run as gone. */
import type { RunEvents } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Descriptors, Launches } from "./launches.ts";
import type { Run } from "./process-tree.ts";

/** Time limit, after which it is killed with all its processes. In ms (s6: timeout-finish). */
export const LONGEST = 5000;

/**
 * Called once, when no process of it is left, with its exit code, undefined where it was killed or not started; and with the
 * reason where its launch failed.
 */
export type Finished = (code: number | undefined, failure: string | undefined) => void;

/**
 * Launches it.
 * @throws errno errors when no process can be started
 */
export const runFinish = (
  launches: Launches,
  name: string,
  plan: LaunchPlan,
  descriptors: Descriptors,
  finished: Finished,
): Run => awaitEnd((events) => launches.launch(name, plan, { descriptors }, events), finished);

/** Adopts one that an earlier supervisor launched, also where it has ended; undefined where there is none. */
export const adoptFinish = (launches: Launches, name: string, finished: Finished): Run | undefined =>
  awaitEnd((events) => launches.adopt(name, undefined, events), finished);

const awaitEnd = <R extends Run | undefined>(begin: (events: RunEvents) => R, finished: Finished): R => {
  let code: number | undefined;
  let failure: string | undefined;
  const run = begin({
    launched: () => undefined,
    ready: () => undefined,
    waiting: () => undefined,
    exited: (exit) => {
      failure = exit?.failure && `${exit.failure.stage}: ${exit.failure.reason}`;
      code = failure === undefined ? exit?.code : undefined;
      run?.kill();
    },
    gone: () => {
      clearTimeout(limit);
      finished(code, failure);
    },
  });
  const limit = run && setTimeout(() => run.kill(), LONGEST);
  return run;
};
