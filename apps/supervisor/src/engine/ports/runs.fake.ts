import type { InstanceKey } from "../../core/daemon-key.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Populations } from "./limits.fake.ts";
import { FakeHelperProcess, FakeRun, type RunTimes } from "./run.fake.ts";
import type { RawExit, RunContext, RunEvents, RunSlot, Runs, RunTrace } from "./runs.ts";

/** A standby launch. */
interface FakeStandby {
  readonly run: number;
  readonly cgroup: string | undefined;
  readonly plan: LaunchPlan;
}

/** Launches no process: every run is a value that the test drives. */
export class FakeRuns implements Runs, Populations {
  /** Every run that was launched, in that order. */
  readonly all: FakeRun[] = [];
  /** Standby launches that exist. */
  readonly standbys = new Set<FakeStandby>();
  readonly strays: string[] = [];
  /** Thrown by the next launch. */
  error: Error | undefined;
  /** Whether a launch succeeds by itself: its run becomes the daemon at once. */
  automatic = true;
  /** Prepares each run before its launch is reported. */
  born: (run: FakeRun) => void = () => undefined;
  /** Exit code of each `finish`; undefined where it is killed. */
  finish: number | undefined = 0;
  readonly finishes: {
    readonly daemon: string;
    readonly plan: LaunchPlan;
    readonly helperProcess: FakeHelperProcess;
  }[] = [];
  launchedIn: (group: string) => void = () => undefined;
  readonly #times: RunTimes;
  #pid = 1000;

  constructor(times: RunTimes) {
    this.#times = times;
  }

  get live(): readonly FakeRun[] {
    return this.all.filter(({ exists }) => exists);
  }
  /** The run that was launched last. */
  get latest(): FakeRun {
    const run = this.all.at(-1);
    if (!run) throw new Error("no run was launched");
    return run;
  }

  slot({ owner, name, instance }: InstanceKey): FakeRunSlot {
    return new FakeRunSlot(this, `${owner.name}/${name}`, instance, this.#times);
  }
  removeStray(owner: string, name: string, { leader }: RunTrace): void {
    this.strays.push(`${owner}/${name} ${leader.pid}`);
    this.find(leader.pid)?.kill();
  }
  isPopulated(group: string): boolean {
    return this.live.some(({ trace }) => trace.cgroup === group);
  }
  killOthers(used: ReadonlySet<string>): void {
    for (const run of this.live) if (run.trace.cgroup !== undefined && !used.has(run.trace.cgroup)) run.kill();
  }

  find(pid: number | undefined): FakeRun | undefined {
    return this.live.find((run) => run.pid === pid);
  }
  /** Ends the standby launches and the events, as the death of the supervisor does. */
  forget(): void {
    this.standbys.clear();
    for (const run of this.all) run.connect(undefined);
  }

  start(
    id: Pick<FakeRun, "daemon" | "instance" | "plan">,
    { cgroup, socket, log }: Pick<RunContext, "cgroup" | "socket" | "log">,
    events: RunEvents,
  ): FakeRun {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
    this.#pid += 1;
    const leader = { pid: this.#pid, startTime: this.#pid };
    const run = new FakeRun(
      { ...id, output: log?.descriptor, trace: { leader, cgroup, socketFile: socket?.file } },
      this.#times,
    );
    run.connect(events);
    this.all.push(run);
    if (cgroup !== undefined) this.launchedIn(cgroup);
    this.born(run);
    if (this.automatic && !run.waits) run.launched();
    return run;
  }
}

export class FakeRunSlot implements RunSlot {
  readonly notifyPath = "/run/dmhost/notify.sock";
  readonly #runs: FakeRuns;
  readonly #daemon: string;
  readonly #instance: number;
  readonly #times: RunTimes;
  #standby: FakeStandby | undefined;
  #run: FakeRun | undefined;
  #helperProcess: FakeHelperProcess | undefined;

  constructor(runs: FakeRuns, daemon: string, instance: number, times: RunTimes) {
    this.#runs = runs;
    this.#daemon = daemon;
    this.#instance = instance;
    this.#times = times;
  }

  standby(run: number): FakeStandby | undefined {
    return this.#standby?.run === run && this.#runs.standbys.has(this.#standby) ? this.#standby : undefined;
  }
  launch(_run: number, plan: LaunchPlan, context: RunContext, events: RunEvents): FakeRun {
    const standby = this.#standby;
    this.discard();
    // A standby launch has its plan already.
    const id = { daemon: this.#daemon, instance: this.#instance, plan: standby?.plan ?? plan };
    this.#run = this.#runs.start(id, context, this.#listener(context, events));
    return this.#run;
  }
  prepare(run: number, plan: LaunchPlan, context: RunContext): void {
    this.#standby = { run, cgroup: context.cgroup, plan };
    this.#runs.standbys.add(this.#standby);
    if (context.cgroup !== undefined) this.#runs.launchedIn(context.cgroup);
  }
  discard(): void {
    if (this.#standby) this.#runs.standbys.delete(this.#standby);
    this.#standby = undefined;
  }
  adopt(
    _run: number,
    trace: RunTrace | undefined,
    context: Pick<RunContext, "socket" | "bind" | "finish" | "log">,
    events: RunEvents,
  ): FakeRun | undefined {
    const listener = this.#listener(context, events);
    const run = this.#runs.find(trace?.leader.pid);
    if (run?.lives) {
      run.connect(listener);
      this.#run = run;
      return run;
    }
    run?.kill();
    this.#times.later(() => {
      listener.exited(undefined);
      listener.gone(undefined);
    });
    return undefined;
  }
  finishing(): FakeHelperProcess | undefined {
    return this.#helperProcess;
  }
  groups(): readonly string[] {
    return [this.#run?.trace.cgroup, this.#standby?.cgroup].filter((group) => group !== undefined);
  }

  /** As the real slot does: runs the finish between the end of the last process and `gone`. */
  #listener({ finish }: Pick<RunContext, "finish">, events: RunEvents): RunEvents {
    let last: RawExit;
    return {
      waiting: (reason) => events.waiting(reason),
      launched: () => events.launched(),
      ready: () => events.ready(),
      exited: (exit) => {
        last = exit;
        events.exited(exit);
      },
      gone: () => {
        this.#run = undefined;
        if (finish === undefined || last?.report) events.gone(undefined);
        else this.#finish(finish, last, events);
      },
    };
  }

  #finish(finish: NonNullable<RunContext["finish"]>, exit: RawExit, events: RunEvents): void {
    try {
      const { plan, cgroup } = finish({ code: exit?.code, signal: exit?.signal === undefined ? 0 : 9 });
      const helperProcess = new FakeHelperProcess();
      this.#helperProcess = helperProcess;
      if (cgroup !== undefined) this.#runs.launchedIn(cgroup);
      this.#runs.finishes.push({ daemon: this.#daemon, plan, helperProcess });
      this.#times.later(() => {
        this.#helperProcess = undefined;
        events.gone(this.#runs.finish);
      });
    } catch {
      events.gone(undefined);
    }
  }
}
