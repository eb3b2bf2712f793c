import type { Allotment } from "../../core/allowance.ts";
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Means } from "../../core/enforcement.ts";
import type { DaemonLimits, Limits } from "./limits.ts";

/** cgroups as paths; what each daemon was set to is recorded. */
export class FakeLimits implements Limits {
  /** All controllers, unless a test takes some away. */
  means: Means = { controllers: new Set(["memory", "pids", "cpu", "io"]), swaps: undefined, why: "" };
  /** Whether there are cgroups at all. */
  groups = true;
  /** Thrown by the next call. */
  error: Error | undefined;
  /** Each allotment that was applied, by daemon. */
  readonly applied: { readonly daemon: string; readonly allotment: Allotment }[] = [];
  readonly made: string[] = [];
  used: ReadonlySet<string> | undefined;

  daemon({ owner, name }: DaemonKey): DaemonLimits {
    const daemon = `${owner.name}/${name}`;
    const fail = (): void => {
      const { error } = this;
      this.error = undefined;
      if (error) throw error;
    };
    const apply = (allotment: Allotment): void => {
      fail();
      this.applied.push({ daemon, allotment });
    };
    return {
      makeGroup: (run) => {
        fail();
        if (!this.groups) return undefined;
        const path = `/cgroup/${daemon}.d/${run}`;
        this.made.push(path);
        return path;
      },
      loggerGroup: () => (this.groups ? `/cgroup/${daemon}.d/log` : undefined),
      apply,
      ensure: apply,
    };
  }

  removeStrays(used: ReadonlySet<string>): void {
    this.used = used;
  }
}
