import type { DaemonKey } from "../../core/daemon-key.ts";
import type { CgroupSettings } from "../../core/resource-limits.ts";
import type { DaemonLimits, Limits } from "./limits.ts";

/** The processes in cgroups. */
export interface Populations {
  /** Called with the cgroup of each launch: it is removed when the last process of it has ended. */
  launchedIn: (group: string) => void;
  isPopulated(group: string): boolean;
  /** Kills the processes of all groups but these. */
  killOthers(used: ReadonlySet<string>, isSpared: (owner: string) => boolean): void;
}

/** cgroups as paths. Each settings that was applied is recorded. */
export class FakeLimits implements Limits {
  /** Whether there are cgroups at all. */
  groups = true;
  /** Thrown by the next call. */
  error: Error | undefined;
  /** Each settings that was applied, by daemon. */
  readonly applied: { readonly daemon: string; readonly settings: CgroupSettings }[] = [];
  readonly made: string[] = [];
  /** Groups that exist and that nothing was launched in. */
  readonly unused = new Set<string>();
  used: ReadonlySet<string> | undefined;
  readonly #populations: Populations;

  constructor(populations: Populations) {
    this.#populations = populations;
    populations.launchedIn = (group) => this.unused.delete(group);
  }

  daemon({ owner, name }: DaemonKey): DaemonLimits {
    const daemon = `${owner.name}/${name}`;
    return {
      makeGroup: (instance, run) => {
        this.#fail();
        if (!this.groups) return undefined;
        return this.#makeGroup(`/cgroup/${daemon}.d/${instance}-${run}`);
      },
      loggerGroup: () => (this.groups ? `/cgroup/${daemon}.d/log` : undefined),
      removeGroup: (group) => void this.unused.delete(group),
      apply: (settings) => {
        this.#fail();
        this.applied.push({ daemon, settings });
      },
    };
  }

  removeStrays(used: ReadonlySet<string>, isSpared: (owner: string) => boolean): void {
    this.used = used;
    for (const group of this.unused) if (!used.has(group)) this.unused.delete(group);
    if (this.groups) this.#populations.killOthers(used, isSpared);
  }

  #fail(): void {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
  }

  #makeGroup(path: string): string {
    for (let suffix = 0; ; suffix += 1) {
      const group = suffix === 0 ? path : `${path}.${suffix}`;
      if (this.#populations.isPopulated(group)) continue;
      this.made.push(group);
      this.unused.add(group);
      return group;
    }
  }
}
