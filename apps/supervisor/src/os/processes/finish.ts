/** The `finish` program of a service directory: it runs after each run, before the supervisor reports the run as gone. */
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Descriptors, Launches } from "./launches.ts";
import type { Run } from "./process-tree.ts";

/** Time limit, after which it is killed with all its processes. In ms (s6: timeout-finish). */
export const LONGEST = 5000;

/**
 * Launches it.
 * @param done called once, when no process of it is left, with its exit code, undefined where it was killed or not started;
 * and with the reason where its launch failed
 * @throws errno errors when no process can be started
 */
export const runFinish = (
  launches: Launches,
  name: string,
  plan: LaunchPlan,
  descriptors: Descriptors,
  done: (code: number | undefined, failure: string | undefined) => void,
): Run => {
  let code: number | undefined;
  let failure: string | undefined;
  const run = launches.launch(
    name,
    plan,
    { descriptors },
    {
      launched: () => undefined,
      ready: () => undefined,
      waiting: () => undefined,
      exited: (exit) => {
        failure = exit?.failure && `${exit.failure.stage}: ${exit.failure.reason}`;
        code = failure === undefined ? exit?.code : undefined;
        run.kill();
      },
      gone: () => {
        clearTimeout(limit);
        done(code, failure);
      },
    },
  );
  const limit = setTimeout(() => run.kill(), LONGEST);
  return run;
};
