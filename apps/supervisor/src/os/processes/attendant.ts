import type { Attendant } from "../../engine/ports/runs.ts";
import type { Run } from "./run.ts";

/** A tenant's program beside the runs of a daemon, as the engine sees it. @param name what it is, for the report of its end */
export const attendantOf = (name: string, run: Run, report: (problem: string) => void): Attendant => ({
  size: (doubtful) => run.size(doubtful),
  end: (reason) => {
    report(`its ${name} is killed: ${reason}`);
    run.kill();
  },
});
