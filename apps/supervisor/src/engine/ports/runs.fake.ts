import { type InstanceKey, ownerOf } from "../../core/daemon-key.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Populations } from "./limits.fake.ts";
import { FakeHelperProcess, FakeRun, type RunTimes } from "./run.fake.ts";
import type { FoundRun, RawExit, RunContext, RunEvents, RunSlot, Runs, RunTrace } from "./runs.ts";

/** Launches no process: every run is a value that the test drives. */
export class FakeRuns implements Runs, Populations {
  /** Every run that was launched, in that order. */
  readonly all: FakeRun[] = [];
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
  /** Runs of the present supervisor. */
  readonly #adopted = new Set<FakeRun>();
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
    const run = this.find(leader.pid);
    if (!run) return;
    run.followedAfter = 0;
    run.kill();
    run.isOver = true;
  }
  isPopulated(group: string): boolean {
    return this.live.some(({ trace }) => trace.cgroup === group);
  }
  killOthers(used: ReadonlySet<string>, isSpared: (owner: string) => boolean): void {
    for (const run of this.live) {
      const { cgroup } = run.trace;
      if (cgroup !== undefined && !used.has(cgroup) && !isSpared(ownerOf(run.daemon))) run.kill();
    }
  }

  find(pid: number | undefined): FakeRun | undefined {
    return this.live.find((run) => run.pid === pid);
  }
  /** Ends the events, as the death of the supervisor does. */
  forget(): void {
    this.#adopted.clear();
    for (const run of this.all) run.connect(undefined);
  }
  /** The shim dies: nobody can adopt the runs that live. */
  die(): void {
    for (const run of this.all) Object.assign(run, { isOver: true, followedAfter: 0 });
  }

  found({ owner, name }: Parameters<Runs["found"]>[0]): readonly FoundRun[] {
    return this.#left
      .filter(({ daemon }) => daemon === `${owner.name}/${name}`)
      .map(({ instance, number, lives }) => ({ instance, run: number, lives }));
  }
  removeStrays(isSpared: (owner: string) => boolean): void {
    const strays = () => this.#left.filter(({ daemon }) => !isSpared(ownerOf(daemon)));
    for (let left = strays(); left.length > 0; left = strays()) {
      for (const run of left) {
        this.strays.push(`${run.daemon} ${run.pid}`);
        run.followedAfter = 0;
        run.kill();
        run.isOver = true;
      }
    }
  }
  /** Runs that nobody has adopted. One that has followed another one by itself is found by means of that. */
  get #left(): readonly FakeRun[] {
    const hidden = new Set(this.all.map((run) => (run.isOver ? undefined : run.next)));
    return this.all.filter((run) => !run.isOver && !this.#adopted.has(run) && !hidden.has(run));
  }
  adopt(id: Pick<FakeRun, "daemon" | "instance" | "number">): FakeRun | undefined {
    const run = this.#left.find(
      ({ daemon, instance, number }) => daemon === id.daemon && instance === id.instance && number === id.number,
    );
    if (run) this.#adopted.add(run);
    return run;
  }

  /** A run that the shim has launched by itself. */
  take(pid: number, events: RunEvents): FakeRun {
    const run = this.all.find((each) => each.pid === pid);
    if (!run) throw new Error(`the shim has launched no run with pid ${pid}`);
    this.#adopted.add(run);
    run.connect(events);
    return run;
  }

  #launchNext({ daemon, instance, number, plan, output, trace: { cgroup, socketFile } }: FakeRun): FakeRun {
    const next = cgroup?.replace(/\d+$/, String(number + 1));
    const id = { daemon, instance, number: number + 1, plan, output };
    const run = new FakeRun({ ...id, trace: { leader: this.#newLeader(), cgroup: next, socketFile } }, this.#times);
    run.launchNext = () => this.#launchNext(run);
    return this.#launched(run);
  }

  #newLeader(): RunTrace["leader"] {
    this.#pid += 1;
    return { pid: this.#pid, startTime: this.#pid };
  }

  #launched(run: FakeRun): FakeRun {
    this.all.push(run);
    this.born(run);
    if (this.automatic && !run.waits) run.launched();
    return run;
  }

  start(
    id: Pick<FakeRun, "daemon" | "instance" | "number" | "plan">,
    { socket, log }: Pick<RunContext, "socket" | "log">,
    events: RunEvents,
  ): FakeRun {
    const cgroup = id.plan?.cgroup;
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
    const trace = { leader: this.#newLeader(), cgroup, socketFile: socket?.file };
    const run = new FakeRun({ ...id, output: log, trace }, this.#times);
    run.connect(events);
    run.followedAfter = id.plan?.again ?? 0;
    if (run.followedAfter > 0) run.launchNext = () => this.#launchNext(run);
    this.#adopted.add(run);
    if (cgroup !== undefined) this.launchedIn(cgroup);
    return this.#launched(run);
  }
}

class FakeRunSlot implements RunSlot {
  readonly notifyPath = "/run/dmhost/notify.sock";
  readonly #runs: FakeRuns;
  readonly #daemon: string;
  readonly #instance: number;
  readonly #times: RunTimes;
  #run: FakeRun | undefined;
  #helperProcess: FakeHelperProcess | undefined;

  constructor(runs: FakeRuns, daemon: string, instance: number, times: RunTimes) {
    this.#runs = runs;
    this.#daemon = daemon;
    this.#instance = instance;
    this.#times = times;
  }

  launch(number: number, plan: LaunchPlan, context: RunContext, events: RunEvents): FakeRun {
    const id = { daemon: this.#daemon, instance: this.#instance, number, plan };
    this.#run = this.#runs.start(id, context, this.#listener(context, events));
    return this.#run;
  }
  take(_number: number, pid: number, again: number | undefined, context: RunContext, events: RunEvents): FakeRun {
    this.#run = this.#runs.take(pid, this.#listener(context, events));
    this.#run.followedAfter = again ?? 0;
    return this.#run;
  }
  forbidNext(_number: number): void {
    if (this.#run) this.#run.followedAfter = 0;
  }
  adopt(number: number, trace: RunTrace | undefined, context: RunContext, events: RunEvents): FakeRun | undefined {
    const listener = this.#listener(context, events);
    const run = this.#runs.adopt({ daemon: this.#daemon, instance: this.#instance, number });
    if (run) {
      run.connect(listener);
      run.followedAfter = 0;
      this.#run = run;
      return run;
    }
    this.#runs.find(trace?.leader.pid)?.kill();
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
    return [this.#run, this.#run?.next].flatMap((run) => run?.trace.cgroup ?? []);
  }

  /** As the real slot does: runs the finish between the end of the last process and `gone`. */
  #listener({ finish }: Pick<RunContext, "finish">, events: RunEvents): RunEvents {
    let last: RawExit;
    return {
      waiting: (reason, isBrief) => events.waiting(reason, isBrief),
      launched: () => events.launched(),
      ready: () => events.ready(),
      exited: (exit) => {
        last = exit;
        events.exited(exit);
      },
      gone: (_, next) => {
        const run = this.#run;
        this.#run = undefined;
        const isFinished = next !== undefined || finish === undefined || last?.failure !== undefined;
        if (run?.finish === undefined && isFinished) events.gone(undefined, next);
        else this.#finish(run, finish, last, events);
      },
    };
  }

  /** Until the finish has ended, the next supervisor finds it and its run. */
  #finish(run: FakeRun | undefined, finish: RunContext["finish"], exit: RawExit, events: RunEvents): void {
    try {
      this.#helperProcess = run?.finish ?? this.#launchFinish(finish, exit);
    } catch {
      events.gone(undefined);
      return;
    }
    if (run) Object.assign(run, { finish: this.#helperProcess, isOver: false });
    this.#times.later(() => {
      this.#helperProcess = undefined;
      if (run) Object.assign(run, { finish: undefined, isOver: true });
      events.gone(this.#runs.finish);
    });
  }

  #launchFinish(finish: RunContext["finish"], exit: RawExit): FakeHelperProcess {
    const plan = finish?.({ code: exit?.code, signal: exit?.signal === undefined ? 0 : 9 });
    const helperProcess = new FakeHelperProcess();
    if (plan?.cgroup !== undefined) this.#runs.launchedIn(plan.cgroup);
    if (plan) this.#runs.finishes.push({ daemon: this.#daemon, plan, helperProcess });
    return helperProcess;
  }
}
