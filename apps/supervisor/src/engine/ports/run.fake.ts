import type { RunUsage } from "../../core/run-usage.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HeldLog } from "./logs.ts";
import type { HelperProcess } from "./processes.ts";
import type { LiveRun, RawExit, RunEvents, RunTrace } from "./runs.ts";

const USAGE: RunUsage = {
  memory: 1 << 20,
  memoryPeak: 2 << 20,
  processes: 1,
  cpu: 1,
  cpuThrottled: 0,
  memoryPressure: 0,
  oomKills: 0,
};

/** A helper process whose size the test sets. */
export class FakeHelperProcess implements HelperProcess {
  bytes: number | undefined = 1 << 20;
  /** Why it was ended. */
  reason: string | undefined;

  size(_doubtful: number): number | undefined {
    return this.bytes;
  }
  end(reason: string): void {
    this.reason = reason;
    this.bytes = undefined;
  }
}

/** How a run's main process ends. */
interface FakeEnd {
  readonly code?: number;
  readonly signal?: string;
  readonly failure?: { readonly stage: string; readonly reason: string };
  readonly oomKilled?: boolean;
}

/** When things happen to a run. */
export interface RunTimes {
  /** Runs something in a later turn of the supervisor, as events of runs come. */
  later(then: () => void): void;
  /** Runs something after `delay` ms, whether or not the supervisor lives. */
  outside(delay: number, then: () => void): void;
  /** In ms. */
  now(): number;
}

/**
 * A process tree that does what the test says. It outlives the supervisor, and reports its state to the next one. It ends at KILL; at TERM, after `slowness`, only
 * where it is obedient; while it is stopped, TERM waits for CONT.
 */
export class FakeRun implements LiveRun {
  readonly pid: number;
  readonly trace: RunTrace;
  readonly daemon: string;
  readonly instance: number;
  readonly number: number;
  readonly plan: LaunchPlan | undefined;
  /** The log that it writes to. */
  readonly output: HeldLog | undefined;
  /** Arguments of `size`. */
  readonly doubts: number[] = [];
  /** Names of signals and requests that it received. */
  readonly received: string[] = [];
  obedient = true;
  /** Whether its launch waits, until `launched`. */
  waits = false;
  /** Whether a supervisor has seen all of it: later ones do not know it. */
  isOver = false;
  /** The finish that follows it, while that executes: it outlives the supervisor as well. */
  finish: FakeHelperProcess | undefined;
  /** From TERM to its end, in ms. */
  slowness = 0;
  /** Whether its main process lives. */
  lives = true;
  /** Whether some process is left. */
  exists = true;
  paused = false;
  bytes: number | undefined = 1 << 20;
  /** Shortest life in ms after which `launchNext` is called at its end; 0: it is not called. */
  followedAfter = 0;
  /** What the shim does then; undefined where it has no plan. */
  launchNext: (() => FakeRun) | undefined;
  /** The run that has followed it by itself. */
  next: FakeRun | undefined;
  /** When it was launched. */
  readonly begun: number;
  readonly #times: RunTimes;
  #events: RunEvents | undefined;
  #client: boolean | undefined = false;
  #draining = false;
  #terminated = false;
  #waiting = "";
  #hasLaunched = false;
  #isReady = false;
  #exit: RawExit;

  constructor(id: Pick<FakeRun, "daemon" | "instance" | "number" | "plan" | "output" | "trace">, times: RunTimes) {
    this.daemon = id.daemon;
    this.instance = id.instance;
    this.number = id.number;
    this.plan = id.plan;
    this.output = id.output;
    this.trace = id.trace;
    this.pid = id.trace.leader.pid;
    this.#times = times;
    this.begun = times.now();
  }

  /** From now on its events come here, first its present state; nowhere when the supervisor is dead. */
  connect(events: RunEvents | undefined): void {
    this.#events = events;
    this.#draining = false;
    if (this.#waiting !== "") this.#report((to) => to.waiting(this.#waiting));
    if (this.#hasLaunched) this.#report((to) => to.launched());
    if (this.#isReady) this.#report((to) => to.ready());
    if (!this.lives) this.#report((to) => to.exited(this.#exit));
    if (!this.exists) this.#reportGone();
  }
  #reportGone(): void {
    this.#report((to) => {
      this.isOver = true;
      to.gone(undefined, this.next && { pid: this.next.pid, at: this.next.begun });
    });
  }
  #report(event: (to: RunEvents) => void): void {
    const to = this.#events;
    this.#times.later(() => to && event(to));
  }

  /** Result of `serves`. */
  get client(): boolean | undefined {
    return this.#client;
  }
  set client(client: boolean | undefined) {
    this.#client = client;
    if (this.#draining) this.#finishDraining();
  }

  signalAll(signal: number): void {
    this.received.push(`all ${signal}`);
    if (signal === 19) this.paused = true;
    if (signal === 18) {
      this.paused = false;
      if (this.#terminated) this.#obey();
    }
    if (signal === 15) this.#terminate();
    if (signal === 9) this.kill();
  }
  signal(signal: number): void {
    this.received.push(`main ${signal}`);
  }
  drain(): void {
    this.received.push("drain");
    this.#draining = true;
    this.#finishDraining();
  }
  #finishDraining(): void {
    if (this.#client === false) this.#terminate();
  }
  #terminate(): void {
    this.#terminated = true;
    if (!this.paused) this.#obey();
  }
  #obey(): void {
    if (!this.obedient) return;
    if (this.slowness === 0) this.end({ code: 0 });
    else this.#times.outside(this.slowness, () => this.end({ code: 0 }));
  }
  serves(): boolean | undefined {
    return this.#client;
  }
  kill(): void {
    this.received.push("kill");
    this.end({ signal: "SIGKILL" });
    this.vanish();
  }
  usage(): RunUsage {
    return USAGE;
  }
  size(doubtful: number): number | undefined {
    this.doubts.push(doubtful);
    return this.lives ? this.bytes : undefined;
  }

  /** The launch waits, or continues. */
  wait(reason: string, isBrief = false): void {
    this.#waiting = reason;
    this.#report((events) => events.waiting(reason, isBrief));
  }
  /** The launch has become the daemon. */
  launched(): void {
    this.#hasLaunched = true;
    this.#report((events) => this.lives && events.launched());
  }
  ready(): void {
    this.#isReady = true;
    this.#report((events) => this.lives && events.ready());
  }
  /** Its main process ends, and with `rest` unset every other process. */
  end({ code, signal, failure, oomKilled = false }: FakeEnd, rest = false): void {
    if (!this.lives) return;
    this.lives = false;
    const common = { failure, oomKilled, peak: undefined };
    this.#exit =
      signal === undefined ? { code: code ?? 0, signal: undefined, ...common } : { code: undefined, signal, ...common };
    const isOld = this.followedAfter > 0 && this.#times.now() - this.begun >= this.followedAfter;
    const hasFailed = failure !== undefined || (signal === undefined && (code ?? 0) !== 0);
    if (isOld && this.#hasLaunched && !hasFailed && !rest) this.next = this.launchNext?.();
    this.#report((events) => events.exited(this.#exit));
    if (!rest) this.vanish();
  }
  /** No process is left. */
  vanish(): void {
    if (!this.exists) return;
    this.exists = false;
    this.#reportGone();
  }
}
