/** The port limits: the cgroups of runs. */

import { type DaemonKey, ownerOf } from "../../core/daemon-key.ts";
import type { CgroupSettings } from "../../core/resource-limits.ts";
import type { DaemonLimits, Limits } from "../../engine/ports/limits.ts";
import { isPopulated, killGroup, limitGroups, listGroups, loggerGroup, makeGroup, removeGroup } from "./cgroup.ts";
import type { CgroupRoot } from "./cgroup-root.ts";

class DaemonGroups implements DaemonLimits {
  readonly #root: CgroupRoot;
  readonly #owner: string;
  readonly #daemon: string;

  constructor(root: CgroupRoot, { owner, name }: DaemonKey) {
    this.#root = root;
    this.#owner = owner.name;
    this.#daemon = name;
  }

  makeGroup(instance: number, run: number | "finish", settings: CgroupSettings): string | undefined {
    if (this.#root.path === undefined) return undefined;
    return makeGroup(this.#root, { owner: this.#owner, daemon: this.#daemon, run: `${instance}-${run}` }, settings);
  }

  removeGroup(group: string): void {
    removeGroup(group);
  }

  loggerGroup(): string | undefined {
    const { path } = this.#root;
    return path === undefined ? undefined : loggerGroup(path, this.#owner, this.#daemon);
  }

  apply(settings: CgroupSettings): void {
    if (this.#root.path !== undefined) limitGroups(this.#root, { owner: this.#owner, daemon: this.#daemon }, settings);
  }
}

export class CgroupLimits implements Limits {
  readonly #root: CgroupRoot;
  readonly #report: (group: string, problem: string) => void;

  /** @param report gets the path of a cgroup and the action on it */
  constructor(root: CgroupRoot, report: (group: string, problem: string) => void) {
    this.#root = root;
    this.#report = report;
  }

  daemon(key: DaemonKey): DaemonLimits {
    return new DaemonGroups(this.#root, key);
  }

  removeStrays(used: ReadonlySet<string>, isSpared: (owner: string) => boolean): void {
    const { path } = this.#root;
    if (path === undefined) return;
    const isStray = (group: string): boolean => !used.has(group) && !isSpared(ownerOf(group.slice(path.length + 1)));
    for (const group of listGroups(path).filter(isStray)) {
      if (isPopulated(group))
        this.#report(group, "killing the stray processes of an earlier supervisor in this cgroup");
      killGroup(group);
      removeGroup(group);
    }
  }
}
