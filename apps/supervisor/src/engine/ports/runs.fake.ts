import type { InstanceKey } from "../../core/daemon-key.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { Attendant, LiveRun, RawExit, RunContext, RunNews, RunSlot, Runs, RunTrace, RunUsage } from "./runs.ts";

const USAGE: RunUsage = {
  memory: 1 << 20,
  memoryPeak: 2 << 20,
  processes: 1,
  cpu: 1,
  throttled: 0,
  memoryPressure: 0,
  oomKills: 0,
};

/** A run whose process does what the test says. It ends at KILL; at TERM and drain only where `obedient`. */
export class FakeRun implements LiveRun {
  readonly pid: number;
  readonly trace: RunTrace;
  readonly daemon: string;
  readonly instance: number;
  readonly plan: LaunchPlan | undefined;
  /** Names of signals and requests that it received. */
  readonly received: string[] = [];
  obedient = true;
  lives = true;
  /** Whether some process is left. */
  exists = true;
  paused = false;
  /** Result of `serves`. */
  client: boolean | undefined = false;
  bytes: number | undefined = 1 << 20;
  readonly #news: RunNews;
  readonly #later: (then: () => void) => void;

  constructor(
    id: Pick<FakeRun, "daemon" | "instance" | "plan" | "trace">,
    news: RunNews,
    later: (then: () => void) => void,
  ) {
    this.daemon = id.daemon;
    this.instance = id.instance;
    this.plan = id.plan;
    this.trace = id.trace;
    this.pid = id.trace.leader.pid;
    this.#news = news;
    this.#later = later;
  }

  signalAll(signal: number): void {
    this.received.push(`all ${signal}`);
    if (signal === 19) this.paused = true;
    if (signal === 18) this.paused = false;
    if (signal === 15 && this.obedient && !this.paused) this.end({ code: 0 });
    if (signal === 9) this.kill();
  }
  signal(signal: number): void {
    this.received.push(`main ${signal}`);
  }
  drain(): void {
    this.received.push("drain");
    if (this.obedient && this.client === false) this.end({ code: 0 });
  }
  serves(): boolean | undefined {
    return this.client;
  }
  kill(): void {
    this.received.push("kill");
    this.end({ signal: "SIGKILL" });
    this.vanish();
  }
  usage(): RunUsage {
    return USAGE;
  }
  size(_doubtful: number): number | undefined {
    return this.lives ? this.bytes : undefined;
  }

  /** The launch chain waits, or continues. */
  wait(reason: string): void {
    this.#news.waiting(reason);
  }
  /** The launch chain has become the daemon. */
  launched(): void {
    this.#later(() => this.lives && this.#news.launched());
  }
  ready(): void {
    this.#later(() => this.lives && this.#news.ready());
  }
  /** Its main process ends, and with `rest` unset every other process. */
  end(
    {
      code,
      signal,
      report = "",
      oomKilled = false,
    }: { code?: number; signal?: string; report?: string; oomKilled?: boolean },
    rest = false,
  ): void {
    if (!this.lives) return;
    this.lives = false;
    const common = { report, oomKilled, peak: undefined };
    const exit: RawExit =
      signal === undefined ? { code: code ?? 0, signal: undefined, ...common } : { code: undefined, signal, ...common };
    this.#later(() => this.#news.exited(exit));
    if (!rest) this.vanish();
  }
  /** No process is left. */
  vanish(finish?: number): void {
    if (!this.exists) return;
    this.exists = false;
    this.#later(() => this.#news.gone(finish));
  }
}

/** Launches nothing: every run is a value that the test drives. */
export class FakeRuns implements Runs {
  privileged = true;
  readonly tools = "/tools";
  /** Every run that was launched or adopted, in that order. */
  readonly all: FakeRun[] = [];
  readonly strays: string[] = [];
  /** Thrown by the next launch. */
  error: Error | undefined;
  /** Whether a launch succeeds by itself: its run becomes the daemon at once. */
  automatic = true;
  readonly #later: (then: () => void) => void;
  #pid = 1000;

  /** @param later runs something in a later turn, as news come */
  constructor(later: (then: () => void) => void) {
    this.#later = later;
  }

  get live(): readonly FakeRun[] {
    return this.all.filter(({ exists }) => exists);
  }

  slot({ owner, name, instance }: InstanceKey): FakeRunSlot {
    return new FakeRunSlot(this, `${owner.name}/${name}`, instance);
  }

  removeStray(owner: string, name: string, { leader }: RunTrace): void {
    this.strays.push(`${owner}/${name} ${leader.pid}`);
    this.all.find(({ pid, exists }) => pid === leader.pid && exists)?.kill();
  }

  start(
    id: Pick<FakeRun, "daemon" | "instance" | "plan">,
    context: Pick<RunContext, "cgroup" | "socket">,
    news: RunNews,
  ): FakeRun {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
    this.#pid += 1;
    const leader = { pid: this.#pid, startTime: this.#pid };
    const trace = { leader, cgroup: context.cgroup, socketFile: context.socket?.file };
    return this.#add(new FakeRun({ ...id, trace }, news, this.#later), this.automatic);
  }

  /** Connects a run of an earlier supervisor with this one's engine. */
  adopt(id: Pick<FakeRun, "daemon" | "instance">, trace: RunTrace | undefined, news: RunNews): FakeRun | undefined {
    const former = this.all.findLast(({ pid, exists }) => exists && pid === trace?.leader.pid);
    if (!trace || !former?.lives) {
      former?.vanish();
      this.#later(() => news.exited(undefined));
      this.#later(() => news.gone(undefined));
      return undefined;
    }
    former.lives = false;
    former.exists = false;
    const run = this.#add(new FakeRun({ ...id, plan: undefined, trace }, news, this.#later), false);
    run.obedient = former.obedient;
    run.paused = former.paused;
    run.client = former.client;
    return run;
  }

  #add(run: FakeRun, launched: boolean): FakeRun {
    this.all.push(run);
    if (launched) run.launched();
    return run;
  }
}

export class FakeRunSlot implements RunSlot {
  readonly notifyPath = "/run/dmhost/notify.sock";
  readonly #runs: FakeRuns;
  readonly #daemon: string;
  readonly #instance: number;
  #standby: { readonly run: number; readonly cgroup: string | undefined } | undefined;
  #run: FakeRun | undefined;
  attendant: Attendant | undefined;

  constructor(runs: FakeRuns, daemon: string, instance: number) {
    this.#runs = runs;
    this.#daemon = daemon;
    this.#instance = instance;
  }
  standby(run: number): { readonly cgroup: string | undefined } | undefined {
    return this.#standby?.run === run ? this.#standby : undefined;
  }
  launch(_run: number, plan: LaunchPlan, context: RunContext, news: RunNews): FakeRun {
    this.#standby = undefined;
    this.#run = this.#runs.start({ daemon: this.#daemon, instance: this.#instance, plan }, context, news);
    return this.#run;
  }
  prepare(run: number, _plan: LaunchPlan, { cgroup }: RunContext): void {
    this.#standby = { run, cgroup };
  }
  discard(): void {
    this.#standby = undefined;
  }
  adopt(
    _run: number,
    trace: RunTrace | undefined,
    _context: Pick<RunContext, "socket" | "bind" | "finish" | "log">,
    news: RunNews,
  ): FakeRun | undefined {
    this.#run = this.#runs.adopt({ daemon: this.#daemon, instance: this.#instance }, trace, news);
    return this.#run;
  }
  finishing(): Attendant | undefined {
    return this.attendant;
  }
  groups(): readonly string[] {
    return [this.#run?.exists ? this.#run.trace.cgroup : undefined, this.#standby?.cgroup].filter(
      (group) => group !== undefined,
    );
  }
}
