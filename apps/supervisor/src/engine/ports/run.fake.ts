import type { RunUsage } from "../../core/run-usage.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
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
export interface FakeEnd {
  readonly code?: number;
  readonly signal?: string;
  readonly report?: string;
  readonly oomKilled?: boolean;
}

/** When things happen to a run. */
export interface RunTimes {
  /** Runs something in a later turn of the supervisor, as events of runs come. */
  later(then: () => void): void;
  /** Runs something after `delay` ms, whether or not the supervisor lives. */
  outside(delay: number, then: () => void): void;
}

/**
 * A process tree that does what the test says. It outlives the supervisor. It ends at KILL; at TERM, after `slowness`, only
 * where it is obedient; while it is stopped, TERM waits for CONT.
 */
export class FakeRun implements LiveRun {
  readonly pid: number;
  readonly trace: RunTrace;
  readonly daemon: string;
  readonly instance: number;
  readonly plan: LaunchPlan | undefined;
  /** Descriptor of the log that it writes to; undefined where it writes to none. */
  readonly output: number | undefined;
  /** Arguments of `size`. */
  readonly doubts: number[] = [];
  /** Names of signals and requests that it received. */
  readonly received: string[] = [];
  obedient = true;
  /** Whether its launch chain waits, until `launched`. */
  waits = false;
  /** From TERM to its end, in ms. */
  slowness = 0;
  /** Whether its main process lives. */
  lives = true;
  /** Whether some process is left. */
  exists = true;
  paused = false;
  bytes: number | undefined = 1 << 20;
  readonly #times: RunTimes;
  #events: RunEvents | undefined;
  #client: boolean | undefined = false;
  #draining = false;
  #terminated = false;

  constructor(id: Pick<FakeRun, "daemon" | "instance" | "plan" | "output" | "trace">, times: RunTimes) {
    this.daemon = id.daemon;
    this.instance = id.instance;
    this.plan = id.plan;
    this.output = id.output;
    this.trace = id.trace;
    this.pid = id.trace.leader.pid;
    this.#times = times;
  }

  /** From now on its events come here; nowhere when the supervisor is dead. */
  connect(events: RunEvents | undefined): void {
    this.#events = events;
    this.#draining = false;
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

  /** The launch chain waits, or continues. */
  wait(reason: string): void {
    this.#report((events) => events.waiting(reason));
  }
  /** The launch chain has become the daemon. */
  launched(): void {
    this.#report((events) => this.lives && events.launched());
  }
  ready(): void {
    this.#report((events) => this.lives && events.ready());
  }
  /** Its main process ends, and with `rest` unset every other process. */
  end({ code, signal, report = "", oomKilled = false }: FakeEnd, rest = false): void {
    if (!this.lives) return;
    this.lives = false;
    const common = { report, oomKilled, peak: undefined };
    const exit: RawExit =
      signal === undefined ? { code: code ?? 0, signal: undefined, ...common } : { code: undefined, signal, ...common };
    this.#report((events) => events.exited(exit));
    if (!rest) this.vanish();
  }
  /** No process is left. */
  vanish(): void {
    if (!this.exists) return;
    this.exists = false;
    this.#report((events) => events.gone(undefined));
  }
}
