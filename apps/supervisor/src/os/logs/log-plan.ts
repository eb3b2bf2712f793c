import type { LaunchPlan } from "../../launch/plan.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** The parts of a log. */
export interface LogPlan {
  /** Name of the FIFO in the shim. */
  readonly name: string;
  /** Path of the FIFO, in a directory that only root enters. */
  readonly fifo: string;
  /** The daemon's run-as account: it owns the FIFO, so that the daemon can open /dev/stderr again. */
  readonly writer: { readonly uid: number };
  /** @param cgroup that the logger joins, where it has one */
  readonly logger: (cgroup: string | undefined) => LaunchPlan;
  /** For a logger that is a tenant's program, which is killed with all its processes; undefined for our own. */
  readonly containment: LoggerContainment | undefined;
  /** Account and directory of our own logger; undefined for a tenant's program. */
  readonly destination: { readonly identity: FileIdentity; readonly directory: string } | undefined;
}

/** Where a tenant's logger runs. */
interface LoggerContainment {
  /** Makes its cgroup, or finds it; undefined where there are no cgroups. */
  group(): string | undefined;
}
