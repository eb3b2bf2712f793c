/** Launches the runs of one instance: makes the launch plan and the cgroup of each, and prepares the standby launch. */

import type { InstanceKey } from "../core/daemon-key.ts";
import type { Definition } from "../core/definition.ts";
import type { CgroupSettings } from "../core/resource-limits.ts";
import type { Terms } from "../core/terms.ts";
import { type Launch, type LaunchPlan, launchDaemon, launchFinish } from "../launch/plan.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { MachineFacts } from "./ports/machine-facts.ts";
import type { LiveRun, RunContext, RunEvents, RunSlot } from "./ports/runs.ts";
import type { OpenResources } from "./shared-resources.ts";

/** Instances of one daemon with a standby launch. Where more share a socket, the others serve until the next run is up. */
const MOST_STANDBYS = 4;

/** What a launch needs of the daemon. */
export interface LaunchHost {
  readonly limits: DaemonLimits;
  /** Limits at each level of its cgroups, with the runs that live at present. */
  settings(terms: Terms): CgroupSettings;
  /** The terms' definition with the rlimits that replace cgroups on this machine. */
  limited(terms: Terms): Definition;
}

/** A complete launch. */
interface PlannedLaunch {
  readonly plan: LaunchPlan;
  readonly context: RunContext;
}

/** Equal for launches of which the standby launch of one can become the other. */
const signatureOf = ({ plan, context: { socket, log, input, ready } }: PlannedLaunch): string =>
  JSON.stringify([plan.argv, [...plan.environment], socket?.descriptor, socket?.file, log?.descriptor, input, ready]);

export class Launcher {
  readonly #key: () => InstanceKey;
  readonly #slot: RunSlot;
  readonly #machine: MachineFacts;
  readonly #host: LaunchHost;
  /** Signature of the standby launch. */
  #prepared: string | undefined;

  /** @param key the instance's key at present: its accounts may change */
  constructor(key: () => InstanceKey, slot: RunSlot, machine: MachineFacts, host: LaunchHost) {
    this.#key = key;
    this.#slot = slot;
    this.#machine = machine;
    this.#host = host;
  }

  /**
   * Makes the plan and the cgroup of a run. Keeps the standby launch where that has the same plan; else discards it.
   * @throws errno errors
   */
  plan(run: number, terms: Terms, resources: OpenResources): PlannedLaunch {
    const { limits } = this.#host;
    const settings = this.#host.settings(terms);
    const socketPath = resources.bind?.provide(run);
    const standby = this.#slot.standby(run);
    if (standby) {
      const planned = this.#planIn(standby.cgroup, terms, resources, socketPath);
      if (signatureOf(planned) === this.#prepared) {
        limits.ensure(settings);
        return planned;
      }
    }
    this.discard();
    return this.#planIn(limits.makeGroup(run, settings), terms, resources, socketPath);
  }

  #planIn(
    cgroup: string | undefined,
    terms: Terms,
    resources: OpenResources,
    socketPath: string | undefined,
  ): PlannedLaunch {
    const definition = this.#host.limited(terms);
    const plan = this.#inGroup(cgroup, () =>
      launchDaemon({
        ...this.#launch(terms, cgroup),
        definition,
        socketPath,
        notifyPath: definition.ready === "notify" ? this.#slot.notifyPath : undefined,
      }),
    );
    const context: RunContext = {
      socket: resources.socket,
      bind: resources.bind,
      input: definition.listen === "fastcgi" ? "socket" : "nothing",
      ready: definition.ready,
      account: terms.account,
      log: definition.output === "discard" ? undefined : resources.log,
      cgroup,
      finish: this.finish(terms),
    };
    return { plan, context };
  }

  /** @throws errno errors */
  launch(run: number, { plan, context }: PlannedLaunch, events: RunEvents): LiveRun {
    return this.#inGroup(context.cgroup, () => this.#slot.launch(run, plan, context, events));
  }

  /** The program that follows a run of these terms; undefined where there is none. */
  finish(terms: Terms | undefined): RunContext["finish"] {
    if (!terms?.definition.service?.finish) return undefined;
    return (ending) => {
      const cgroup = this.#host.limits.makeGroup("finish", this.#host.settings(terms));
      return this.#inGroup(cgroup, () => {
        const definition = this.#host.limited(terms);
        return { plan: launchFinish(this.#launch({ ...terms, definition }, cgroup), ending), cgroup };
      });
    };
  }

  /** Prepares the standby launch of a run, where clients wait at a socket: it costs a process. */
  prepare(run: number, terms: Terms | undefined, resources: OpenResources | undefined): void {
    // With listen=path each run binds in its own directory; an on-demand daemon is started by a client.
    if (!resources?.socket || !terms || terms.definition.ondemand) return;
    if (this.#key().instance > MOST_STANDBYS) return;
    try {
      this.discard();
      const planned = this.plan(run, terms, resources);
      this.#inGroup(planned.context.cgroup, () => this.#slot.prepare(run, planned.plan, planned.context));
      this.#prepared = signatureOf(planned);
    } catch {
      // The launch itself meets the same error and reports it.
    }
  }

  /** Ends the standby launch. */
  discard(): void {
    this.#slot.discard();
  }

  /** A step of a launch in this cgroup, which is removed where the step fails. */
  #inGroup<T>(cgroup: string | undefined, step: () => T): T {
    try {
      return step();
    } catch (error) {
      if (cgroup !== undefined) this.#host.limits.removeGroup(cgroup);
      throw error;
    }
  }

  #launch({ definition, account }: Terms, cgroup: string | undefined): Launch {
    const { privileged, tools } = this.#machine;
    const paths = { socketPath: undefined, notifyPath: undefined };
    return { definition, owner: this.#key().owner, account, cgroup, privileged, tools, ...paths };
  }
}
