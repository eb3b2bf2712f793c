/** The `finish` program of a service directory: it runs after each run, before the supervisor reports the run as gone. */
import type { LaunchPlan } from "../../launch/plan.ts";
import { launch } from "./launch-chain.ts";
import type { Run } from "./process-tree.ts";

/** Time limit, after which it is killed with all its processes. In ms (s6: timeout-finish). */
export const LONGEST = 5000;

/**
 * Launches it.
 * @param done called once, when no process of it is left, with its exit code, undefined where it was killed or not started;
 * and with the report of a failed launch, "" otherwise
 * @throws errno errors when no process can be started
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
