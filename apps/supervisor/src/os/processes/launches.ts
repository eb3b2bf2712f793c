/** Launches programs through the shim, and follows their runs. */
import type { Account } from "../../core/policy-rules.ts";
import type { BegunRun, RunEvents } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { codeOf } from "../kernel/error-code.ts";
import { identify } from "../kernel/process-table.ts";
import type { ShimLink } from "../shim/link.ts";
import { nextRunName } from "../shim/names.ts";
import type { ShimPlan } from "../shim/plan.ts";
import { type BudgetedProbe, ProcessTree, type Run } from "./process-tree.ts";
import { RunReport } from "./run-report.ts";

/** What a program gets besides its plan: held sockets and FIFOs at its descriptors, by the shim's names. */
export type Descriptors = NonNullable<ShimPlan["descriptors"]>;

interface LaunchOptions {
  readonly descriptors: Descriptors;
  readonly probe?: BudgetedProbe | undefined;
  /** Signal that it gets when the shim ends. */
  readonly deathSignal?: number;
}

interface TakeOptions {
  readonly cgroup: string | undefined;
  readonly again?: number | undefined;
  readonly probe?: BudgetedProbe | undefined;
}

/** Errors of a launch that may not occur again later. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]);

export class Launches {
  readonly #link: ShimLink;
  readonly #groups: (account: Account) => readonly number[];
  /** Runs that are over and that the shim still has. */
  readonly #over = new Set<string>();
  /** Runs whose exits are not acknowledged yet, also when they are over. */
  readonly #kept = new Set<string>();

  /** @param groups gids of all groups of an account */
  constructor(link: ShimLink, groups: (account: Account) => readonly number[]) {
    this.#link = link;
    this.#groups = groups;
  }

  /**
   * Launches a plan as a run with this name.
   * @throws errno errors when no process can be started
   */
  launch(name: string, plan: LaunchPlan, options: LaunchOptions, events: RunEvents): Run {
    this.#forget(name);
    let pid: number;
    try {
      pid = this.#link.launch(name, this.#shimPlan(plan, options));
    } catch (error) {
      if (!EXHAUSTED.has(codeOf(error))) throw error;
      throw Object.assign(
        new Error("cannot start a process: the limit on processes, memory or descriptors is reached"),
        { code: "EAGAIN" },
      );
    }
    const tree = new ProcessTree(identify(pid) ?? { pid, startTime: 0 }, plan.cgroup, options.probe);
    this.#follow(name, tree, events);
    return tree;
  }

  /**
   * Follows the run of an earlier supervisor. The events come from its present state on, also where it has exited.
   * @param known its main process and its cgroup as recorded, where they are
   * undefined where the shim has no such run.
   */
  adopt(
    name: string,
    known: Pick<Run, "leader" | "cgroup"> | undefined,
    events: RunEvents,
    probe?: BudgetedProbe,
  ): Run | undefined {
    const now = this.#link.foundRun(name);
    if (now === undefined) return undefined;
    const { pid, state, cgroup } = now;
    const found = state === "exited" ? undefined : identify(pid);
    const leader = known?.leader.pid === pid ? known.leader : (found ?? { pid, startTime: 0 });
    const tree = new ProcessTree(leader, cgroup, probe);
    this.#follow(name, tree, events);
    return tree;
  }

  /**
   * Follows the run of this name, which the shim has launched by itself.
   * @param options.again as in its plan
   */
  take(name: string, pid: number, options: TakeOptions, events: RunEvents): Run {
    const found = identify(pid);
    // Where it has ended, another process may have its pid; until the shim has reaped it, none has.
    const leader = this.#permitNext(name, options.again ?? 0) ? found : undefined;
    const tree = new ProcessTree(leader ?? { pid, startTime: 0 }, options.cgroup, options.probe);
    this.#follow(name, tree, events);
    return tree;
  }

  #follow(name: string, tree: ProcessTree, events: RunEvents): void {
    const report = new RunReport(tree, events, () => this.#over.add(name));
    this.#link.follow(name, (run) => report.take(run));
  }

  /** Kills the processes of a run of an earlier supervisor that nobody adopts, after a delay in ms. */
  clear(name: string, delay = 0): void {
    const run = this.adopt(name, undefined, this.#clearing(name, this.#link.foundRun(name)?.cgroup));
    if (run) this.forbidNext(name);
    if (delay === 0) run?.kill();
    else setTimeout(() => run?.kill(), delay).unref();
  }

  /** Forgets a run that is cleared, and clears the next one where the shim has launched it and nobody follows it. */
  #clearing(name: string, cgroup: string | undefined): RunEvents {
    const nothing = (): void => undefined;
    const gone = (_: unknown, next?: BegunRun): void => {
      this.#forget(name);
      const later = { name: nextRunName(name), cgroup: cgroup && nextRunName(cgroup) };
      if (next === undefined || !this.#link.isUnfollowed(later.name)) return;
      this.take(later.name, next.pid, { cgroup: later.cgroup }, this.#clearing(later.name, later.cgroup)).kill();
    };
    return { waiting: nothing, launched: nothing, ready: nothing, exited: nothing, gone };
  }

  /** From now on no run follows this one by itself. False where it has ended: its end says whether another one has followed. */
  forbidNext(name: string): boolean {
    return this.#permitNext(name, 0);
  }

  #permitNext(name: string, after: number): boolean {
    try {
      this.#link.requests.permitNext(name, after);
    } catch (error) {
      return codeOf(error) !== "EBUSY";
    }
    return true;
  }

  /** The exit of this run is not acknowledged before the function that it returns has been called. */
  keep(name: string): () => void {
    this.#kept.add(name);
    return () => this.#kept.delete(name);
  }

  /** Acknowledges the exits of all runs that are over: to be called when everything about them has been recorded. */
  acknowledge(): void {
    for (const name of this.#over) if (!this.#kept.has(name)) this.#forget(name);
  }

  #forget(name: string): void {
    if (this.#over.delete(name)) this.#link.forget(name);
  }

  #shimPlan(plan: LaunchPlan, { descriptors, deathSignal }: LaunchOptions): ShimPlan {
    const { account, keepsCapabilities, socketDescriptor: _, ...rest } = plan;
    return {
      ...rest,
      ...(account && {
        account: { uid: account.uid, gid: account.gid, groups: this.#groups(account), keeps: keepsCapabilities },
      }),
      descriptors,
      deathSignal,
    };
  }
}
