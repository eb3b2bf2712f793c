/** The runs of one instance in containers. A run that ends by itself is followed by another one in the same container. */
import { constants } from "node:os";
import { type InstanceKey, idOf } from "../core/daemon-key.ts";
import type { LiveRun, RunContext, RunEvents, RunTrace } from "../engine/ports/runs.ts";
import { completedBy } from "../launch/container.ts";
import type { LaunchPlan } from "../launch/plan.ts";
import { codeOf } from "../os/kernel/error-code.ts";
import type { OwnerBudgets } from "../os/kernel/owner-budgets.ts";
import type { SocketSnapshots } from "../os/kernel/socket-snapshot.ts";
import { removeGroup } from "../os/limits/cgroup.ts";
import type { Descriptors } from "../os/processes/launches.ts";
import { type BudgetedProbe, ProcessTree } from "../os/processes/process-tree.ts";
import { RunReport } from "../os/processes/run-report.ts";
import { runName } from "../os/shim/names.ts";
import type { ShimRun } from "../os/shim/objects.ts";
import type { ShimPlan } from "../os/shim/plan.ts";
import { servesClient } from "../os/sockets/client-probe.ts";
import { ContainerRun } from "./container-run.ts";
import type { Guest, Held } from "./guest.ts";
import type { Guests } from "./guests.ts";

export interface ContainerSlotOptions {
  readonly guests: Guests;
  readonly snapshots: SocketSnapshots;
  readonly budgets: OwnerBudgets;
}

type HeldDescriptor = Descriptors extends ReadonlyMap<number, infer Source> ? Source : never;

/** How long a container without a run waits for the next one. In ms. */
const LONGEST_IDLE = 60_000;
const { SIGKILL } = constants.signals;
/** Exit code of a launch that fails before the program takes over. */
const LAUNCH_FAILED = 111;

export class ContainerSlot {
  readonly #key: InstanceKey;
  readonly #options: ContainerSlotOptions;
  #guest: Guest | undefined;
  /** What the container is made of (LaunchPlan.container), and the socket that it has. */
  #made: { readonly of: string | undefined; readonly socketFile: number | undefined } | undefined;
  #cgroup: string | undefined;
  #run: ContainerRun | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(key: InstanceKey, options: ContainerSlotOptions) {
    this.#key = key;
    this.#options = options;
  }

  launch(number: number, plan: LaunchPlan, context: RunContext, events: RunEvents): LiveRun {
    clearTimeout(this.#idle);
    const held: Held = {
      socket: context.socket && plan.socketDescriptor !== undefined ? idOf(this.#key) : undefined,
      fifo: context.log?.name,
    };
    const isKept = this.#serves(plan, held, context);
    if (isKept && plan.cgroup !== undefined) removeGroup(plan.cgroup);
    const guest = (isKept && this.#guest) || this.#make(number, plan, held, context);
    const name = runName(this.#key, number);
    const run = this.#newRun(guest, name, context, events);
    let report: RunReport | undefined;
    const begin = (): void => {
      report = this.#begin(guest, run, name, events);
      const refused = (error: unknown): void => this.#refused(run, events, error);
      try {
        guest.shim?.launch(name, this.#shimPlan(plan, guest, held), refused);
      } catch (error) {
        // Later: it may be called by `launch`, before which no event may come.
        setImmediate(() => refused(error));
      }
    };
    guest.listener = {
      waiting: (reason) => events.waiting(reason, true),
      ready: begin,
      failed: (stage, reason) => this.#failed(run, events, stage, reason),
      run: (state) => this.#report(run, name, report, state),
      gone: (oomKilled) => this.#gone(run, report, events, oomKilled),
    };
    if (guest.isReady) begin();
    return run;
  }

  take(number: number, pid: number, again: number | undefined, context: RunContext, events: RunEvents): LiveRun {
    const name = runName(this.#key, number);
    const guest = this.#guest ?? this.#options.guests.add(this.#key, number);
    const run = this.#newRun(guest, name, context, events);
    run.leader = { pid, startTime: 0 };
    if (this.#guest === undefined) {
      // The container has ended since.
      guest.close();
      run.vanished(false);
      setImmediate(() => this.#end(run, events, { code: undefined, signal: "SIGKILL", oomKilled: false }));
      return run;
    }
    guest.shim?.permitNext(name, again ?? 0);
    this.#continue(guest, run, name, events);
    return run;
  }

  forbidNext(number: number): void {
    this.#guest?.shim?.permitNext(runName(this.#key, number), 0);
  }

  adopt(number: number, trace: RunTrace | undefined, context: RunContext, events: RunEvents): LiveRun | undefined {
    const guest = this.#options.guests.adopt(this.#key, trace?.container ?? number);
    if (guest === undefined) {
      const { leader = { pid: 2, startTime: 0 }, cgroup } = trace ?? {};
      setImmediate(() => {
        events.exited(undefined);
        new ProcessTree(leader, cgroup).clear(() => events.gone(undefined));
      });
      return undefined;
    }
    this.#guest = guest;
    this.#cgroup = trace?.cgroup;
    const name = runName(this.#key, number);
    const run = this.#newRun(guest, name, context, events);
    run.socketFile = trace?.socketFile ?? run.socketFile;
    if (trace) run.leader = trace.leader;
    guest.shim?.permitNext(name, 0, (error) => {
      if (codeOf(error) === "ENOENT") this.#unknown(guest, run, events);
    });
    this.#continue(guest, run, name, events);
    return run;
  }

  groups(): readonly string[] {
    return this.#cgroup === undefined ? [] : [this.#cgroup];
  }

  /** Ends the container, which has no run. */
  clear(): void {
    clearTimeout(this.#idle);
    const [guest, cgroup] = [this.#guest, this.#cgroup];
    this.#guest = undefined;
    this.#made = undefined;
    this.#cgroup = undefined;
    guest?.close();
    if (cgroup !== undefined) new ProcessTree({ pid: 2, startTime: 0 }, cgroup).awaitEmpty(() => undefined);
  }

  /** Whether the present container has what a launch needs. */
  #serves(plan: LaunchPlan, held: Held, { socket }: RunContext): boolean {
    const { isReady = false } = this.#guest ?? {};
    return (
      isReady &&
      this.#made?.of === plan.container &&
      this.#made?.socketFile === socket?.file &&
      this.#guest?.holds(held) === true
    );
  }

  #make(number: number, plan: LaunchPlan, held: Held, { socket }: RunContext): Guest {
    this.clear();
    const guest = this.#options.guests.add(this.#key, number);
    this.#guest = guest;
    this.#made = { of: plan.container, socketFile: socket?.file };
    const parent = this.#options.guests.parentOf(plan.cgroup);
    if (plan.cgroup !== undefined && parent === undefined) removeGroup(plan.cgroup);
    else this.#cgroup = plan.cgroup;
    guest.make({ account: plan.account ?? this.#key.owner, held, cgroup: parent });
    return guest;
  }

  #newRun(guest: Guest, name: string, { socket }: RunContext, events: RunEvents): ContainerRun {
    const { snapshots, budgets } = this.#options;
    const file = socket?.file;
    const budget = budgets.of(this.#key.owner.name);
    const probe: BudgetedProbe | undefined =
      file === undefined ? undefined : { look: (since) => servesClient(snapshots, file, since), budget };
    const run: ContainerRun = new ContainerRun(guest, {
      name,
      cgroup: this.#cgroup,
      probe,
      socketFile: file,
      abort: (signal) => this.#abort(run, events, signal),
    });
    this.#run = run;
    return run;
  }

  /** Follows a run that has been launched; its present state comes later. */
  #continue(guest: Guest, run: ContainerRun, name: string, events: RunEvents): void {
    const report = this.#begin(guest, run, name, events);
    guest.listener = {
      waiting: () => undefined,
      ready: () => undefined,
      failed: () => undefined,
      run: (state) => this.#report(run, name, report, state),
      gone: (oomKilled) => this.#gone(run, report, events, oomKilled),
    };
    setImmediate(() => {
      const state = guest.stateOf(name);
      if (state && this.#run === run) this.#report(run, name, report, state);
    });
  }

  #begin(guest: Guest, run: ContainerRun, name: string, events: RunEvents): RunReport {
    const gone: RunEvents["gone"] = (finish, next) => {
      this.#settle(run, next === undefined);
      events.gone(finish, next);
    };
    return new RunReport(run, { ...listenerOf(events), gone }, () => guest.finish(name));
  }

  #report(run: ContainerRun, name: string, report: RunReport | undefined, state: ShimRun): void {
    if (state.name !== name) return;
    // First: whether processes are left decides what a kill would end.
    run.changed(state);
    report?.take(state);
  }

  /** A run has ended: its container waits for the next one, unless it was told to end. */
  #settle(run: ContainerRun, isLast: boolean): void {
    if (this.#run !== run || !isLast) return;
    this.#run = undefined;
    if (run.isDismissed || run.memoryEnd().oomKilled || this.#made === undefined) this.clear();
    else {
      this.#idle = setTimeout(() => this.clear(), LONGEST_IDLE);
      this.#idle.unref();
    }
  }

  #gone(run: ContainerRun, report: RunReport | undefined, events: RunEvents, oomKilled: boolean): void {
    run.vanished(oomKilled);
    // First: what follows may be launched at once, in another container.
    this.clear();
    if (report) report.take({ ...VANISHED, name: run.name });
    else this.#end(run, events, { code: undefined, signal: "SIGKILL", oomKilled });
  }

  #abort(run: ContainerRun, events: RunEvents, signal: number): void {
    this.clear();
    run.vanished(false);
    setImmediate(() =>
      this.#end(run, events, { code: undefined, signal: signal === SIGKILL ? "SIGKILL" : "SIGTERM", oomKilled: false }),
    );
  }

  #failed(run: ContainerRun, events: RunEvents, stage: string, reason: string): void {
    run.vanished(false);
    this.clear();
    this.#end(run, events, { code: LAUNCH_FAILED, signal: undefined, oomKilled: false, failure: { stage, reason } });
  }

  /** The shim of the container has not launched it. */
  #refused(run: ContainerRun, events: RunEvents, error: unknown): void {
    this.#failed(run, events, "creating the process", error instanceof Error ? error.message : String(error));
  }

  /** The shim of an earlier supervisor's container has no such run. */
  #unknown(guest: Guest, run: ContainerRun, events: RunEvents): void {
    if (this.#run !== run || guest.isOver) return;
    this.clear();
    this.#end(run, events, undefined);
  }

  #end(run: ContainerRun, events: RunEvents, exit: Parameters<RunEvents["exited"]>[0]): void {
    if (this.#run === run) this.#run = undefined;
    events.exited(exit);
    events.gone(undefined);
  }

  #shimPlan(plan: LaunchPlan, guest: Guest, held: Held): ShimPlan {
    const {
      account: _a,
      cgroup: _c,
      keepsCapabilities: _k,
      socketDescriptor,
      container: _o,
      ...rest
    } = guest.image ? completedBy(plan, guest.image) : plan;
    const descriptors = new Map<number, HeldDescriptor>();
    if (held.fifo !== undefined) for (const each of [1, 2]) descriptors.set(each, { kind: "fifo", name: held.fifo });
    if (held.socket !== undefined && socketDescriptor !== undefined)
      descriptors.set(socketDescriptor, { kind: "socket", name: held.socket });
    return { ...rest, descriptors };
  }
}

const listenerOf = (events: RunEvents): RunEvents => ({
  waiting: (reason) => events.waiting(reason),
  launched: () => events.launched(),
  ready: () => events.ready(),
  exited: (exit) => events.exited(exit),
  gone: (finish, next) => events.gone(finish, next),
});

/** The end of a run whose container has ended. */
const VANISHED: Omit<ShimRun, "name"> = {
  kind: "run",
  pid: 0,
  cgroup: undefined,
  state: "exited",
  ready: false,
  waiting: undefined,
  failure: undefined,
  end: { code: undefined, signal: SIGKILL },
  next: undefined,
  left: false,
};
