/** Limits that the kernel enforces for groups of processes. */

import type { DaemonKey } from "../../core/daemon-key.ts";
import type { CgroupSettings } from "../../core/resource-limits.ts";

/** The cgroups of one daemon. */
export interface DaemonLimits {
  /**
   * Makes a cgroup for a run of an instance, or for what follows it, with these limits at each level; undefined where there are no
   * cgroups. The name of a run's ends in its number: the shim counts on (shim/again.c).
   * @throws errno errors
   */
  makeGroup(instance: number, run: number | "finish", settings: CgroupSettings): string | undefined;
  /** Removes a cgroup in which nothing was launched: the launch failed. Never throws. */
  removeGroup(group: string): void;
  /** Makes the cgroup of the daemon's own logger, or finds it; undefined where there are no cgroups. */
  loggerGroup(): string | undefined;
  /** Enforces other limits for all groups of the daemon, and for its owner's. @throws errno errors */
  apply(settings: CgroupSettings): void;
}

export interface Limits {
  daemon(key: DaemonKey): DaemonLimits;
  /** Kills and removes every cgroup of an earlier supervisor that is not among these and of no spared owner. */
  removeStrays(used: ReadonlySet<string>, isSpared: (owner: string) => boolean): void;
}
