import type { HelperProcess } from "../../engine/ports/processes.ts";
import type { Run } from "./process-tree.ts";

/** A tenant's program that belongs to a daemon but to none of its runs. @param name for reports, e.g. `finish` */
export const helperProcessOf = (name: string, run: Run, report: (problem: string) => void): HelperProcess => ({
  size: (doubtful) => run.size(doubtful),
  end: (reason) => {
    report(`killing its ${name}: ${reason}`);
    run.kill();
  },
});
