/** Launches the runs of one instance: makes the launch plan and the cgroup of each. */
import type { InstanceKey } from "../core/daemon-key.ts";
import type { Definition } from "../core/definition.ts";
import type { CgroupSettings } from "../core/resource-limits.ts";
import type { Terms } from "../core/terms.ts";
import { launchContained } from "../launch/container.ts";
import { type Launch, type LaunchPlan, launchDaemon, launchFinish } from "../launch/plan.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { MachineFacts } from "./ports/machine-facts.ts";
import type { LiveRun, RunContext, RunEvents, RunSlot } from "./ports/runs.ts";
import type { OpenResources } from "./shared-resources.ts";

/** What a launch needs of the daemon. */
export interface LaunchHost {
  readonly limits: DaemonLimits;
  /** Limits at each level of its cgroups, with the runs that live at present. */
  settings(terms: Terms): CgroupSettings;
  /** The terms' definition with the rlimits that replace cgroups on this machine. */
  limited(terms: Terms): Definition;
}

const planOf = (launch: Launch): LaunchPlan =>
  launch.definition.image === undefined ? launchDaemon(launch) : launchContained(launch);

export class Launcher {
  readonly #key: () => InstanceKey;
  readonly #slot: RunSlot;
  readonly #machine: MachineFacts;
  readonly #host: LaunchHost;

  /** @param key the instance's key at present: its accounts may change */
  constructor(key: () => InstanceKey, slot: RunSlot, machine: MachineFacts, host: LaunchHost) {
    this.#key = key;
    this.#slot = slot;
    this.#machine = machine;
    this.#host = host;
  }

  /**
   * Makes the plan and the cgroup of a run, and launches it. `stage` receives the name of each stage.
   * @param again LaunchPlan.again, where the run has a cgroup or a container: otherwise the shim cannot know that no process is left
   * @throws errno errors
   */
  launch(
    run: number,
    terms: Terms,
    resources: OpenResources,
    stage: (name: string) => void,
    events: RunEvents,
    again: number | undefined,
  ): LiveRun {
    const socketPath = resources.bind?.provide(run);
    stage("creating its cgroup");
    return this.#inGroup(run, terms, (launch) => {
      stage("creating the process");
      const { definition, cgroup } = launch;
      const notifyPath = definition.ready === "notify" ? this.#slot.notifyPath : undefined;
      const { log } = resources;
      const knowsEnd = cgroup !== undefined || definition.image !== undefined;
      const context: RunContext = {
        ...resources,
        log: definition.output === "discard" ? undefined : log,
        finish: this.finish(terms),
      };
      return this.#slot.launch(
        run,
        planOf({ ...launch, socketPath, notifyPath, again: knowsEnd ? again : undefined }),
        context,
        events,
      );
    });
  }

  /** The program that follows a run of these terms; undefined where there is none. */
  finish(terms: Terms | undefined): RunContext["finish"] {
    if (!terms?.definition.service?.finish) return undefined;
    return (ending) => this.#inGroup("finish", terms, (launch) => launchFinish(launch, ending));
  }

  /** A launch in a new cgroup, which is removed where a step fails. */
  #inGroup<T>(run: number | "finish", terms: Terms, step: (launch: Launch) => T): T {
    const { limits } = this.#host;
    const cgroup = limits.makeGroup(this.#key().instance, run, this.#host.settings(terms));
    try {
      const { privileged, tools } = this.#machine;
      const { account } = terms;
      const definition = this.#host.limited(terms);
      const paths = { socketPath: undefined, notifyPath: undefined };
      return step({ definition, owner: this.#key().owner, account, cgroup, privileged, tools, ...paths });
    } catch (error) {
      if (cgroup !== undefined) limits.removeGroup(cgroup);
      throw error;
    }
  }
}
