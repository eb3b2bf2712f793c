/** What is run when a run has ended, before anybody is told that nothing of it is left. */
import type { LaunchPlan } from "../../launch/plan.ts";
import { launch, type Run } from "./run.ts";

/** How long it may take; then it is killed with all that it started. In ms (s6: timeout-finish). */
const LONGEST = 5000;

/**
 * Runs it, with `output` as its own. `done` is called exactly once, when nothing of it is left; with its exit code, or undefined where it was
 * killed or could not be begun, and what its launch said of that.
 */
export const runFinish = (
  plan: LaunchPlan,
  output: number | "ignore",
  cgroup: string | undefined,
  done: (code: number | undefined, report: string) => void,
): Run => {
  let code: number | undefined;
  let report = "";
  const run = launch(plan, { input: "ignore", output }, cgroup, {
    launched: () => undefined,
    ready: () => undefined,
    waiting: () => undefined,
    exited: (exit) => {
      report = exit?.report ?? "";
      code = report === "" ? exit?.code : undefined;
      run.kill();
    },
    gone: () => {
      clearTimeout(limit);
      done(code, report);
    },
  });
  const limit = setTimeout(() => run.kill(), LONGEST);
  return run;
};
