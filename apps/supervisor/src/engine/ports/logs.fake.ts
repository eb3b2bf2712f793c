import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HeldLog, LogLoss, LogPredecessor, Logs, LogTrace } from "./logs.ts";
import type { HelperProcess, ProcessIdentity } from "./processes.ts";

/** Pids of loggers are never used twice. */
let pids = 4100;

/** An open log, driven by the test. */
class FakeLog implements HeldLog {
  readonly name: string;
  readonly daemon: string;
  readonly before: LogPredecessor;
  logger: LaunchPlan;
  /** Predicates of the calls of `settle`. */
  readonly settles: (() => boolean)[] = [];
  closed = false;
  /** Whether its logger has ended after `close`. */
  finished = false;
  /** Whether its logger takes until `finish` to write everything. */
  slow = false;
  lines: number;
  reason = "";
  tenant: HelperProcess | undefined;
  readonly #leader: ProcessIdentity;
  #finish: () => void = () => undefined;

  constructor(daemon: string, logger: LaunchPlan, before: LogPredecessor) {
    pids += 1;
    this.daemon = daemon;
    this.name = `${daemon}:fifo:${pids}`;
    this.logger = logger;
    this.before = before;
    this.lines = before.dropped;
    this.#leader = before.logger ?? { pid: pids, startTime: 1 };
  }
  loss(): LogLoss {
    return { lines: this.lines, reason: this.reason };
  }
  trace(): LogTrace {
    return { logger: this.#leader, signature: "signature", dropped: this.lines };
  }
  helperProcess(): HelperProcess | undefined {
    return this.tenant;
  }
  follow(logger: LaunchPlan): void {
    this.logger = logger;
  }
  settle(idle: () => boolean): void {
    this.settles.push(idle);
  }
  close(): Promise<void> {
    this.closed = true;
    return new Promise((resolve) => {
      this.#finish = resolve;
      if (!this.slow) this.finish();
    });
  }
  finish(): void {
    this.finished = true;
    this.#finish();
  }
  /** Its logger is replaced by another. */
  replaced(): void {
    this.before.changed();
  }
}

export class FakeLogs implements Logs {
  readonly opened: FakeLog[] = [];
  /** Thrown by the next call. */
  error: Error | undefined;
  /** Prepares each log. */
  born: (log: FakeLog) => void = () => undefined;

  removeStrays(): void {
    // No test leaves a logger that a later supervisor would end.
  }
  open(key: DaemonKey, _writer: Account, logger: LaunchPlan, _directory: string, before: LogPredecessor): FakeLog {
    return this.#open(key, logger, before);
  }
  openService(
    key: DaemonKey,
    _writer: Account,
    logger: (cgroup: string | undefined) => LaunchPlan,
    group: () => string | undefined,
    before: LogPredecessor,
  ): FakeLog {
    return this.#open(key, logger(group()), before);
  }

  #open({ owner, name }: DaemonKey, logger: LaunchPlan, before: LogPredecessor): FakeLog {
    const { error } = this;
    this.error = undefined;
    if (error) throw error;
    const log = new FakeLog(`${owner.name}/${name}`, logger, before);
    this.born(log);
    this.opened.push(log);
    return log;
  }

  /** The log that was opened last and is open. */
  get current(): FakeLog | undefined {
    return this.opened.findLast(({ closed }) => !closed);
  }
  /** The supervisor dies: it has no log open any more. */
  forget(): void {
    for (const log of this.opened) log.closed = true;
  }
}
