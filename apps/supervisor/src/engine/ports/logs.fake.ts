import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HeldLog, LogLoss, LogPredecessor, Logs, LogTrace } from "./logs.ts";
import type { Attendant } from "./runs.ts";

/** An open log, driven by the test. */
export class FakeLog implements HeldLog {
  readonly descriptor = 10;
  readonly daemon: string;
  readonly before: LogPredecessor;
  logger: LaunchPlan;
  /** How often `settle` was called, and its latest predicate. */
  settles = 0;
  idle: () => boolean = () => true;
  closed = false;
  lines: number;
  reason = "";
  tenant: Attendant | undefined;
  #finish: () => void = () => undefined;

  constructor(daemon: string, logger: LaunchPlan, before: LogPredecessor) {
    this.daemon = daemon;
    this.logger = logger;
    this.before = before;
    this.lines = before.dropped;
  }
  loss(): LogLoss {
    return { lines: this.lines, reason: this.reason };
  }
  trace(): LogTrace {
    return { logger: { pid: 4000, startTime: 1 }, signature: "signature", dropped: this.lines };
  }
  attendant(): Attendant | undefined {
    return this.tenant;
  }
  follow(logger: LaunchPlan): void {
    this.logger = logger;
  }
  settle(idle: () => boolean): void {
    this.settles += 1;
    this.idle = idle;
  }
  close(): Promise<void> {
    this.closed = true;
    return new Promise((resolve) => {
      this.#finish = resolve;
      if (!this.slow) resolve();
    });
  }
  /** Whether its logger takes until `finish` to write everything. */
  slow = false;
  finish(): void {
    this.#finish();
  }
}

export class FakeLogs implements Logs {
  readonly opened: FakeLog[] = [];
  /** Thrown by the next call. */
  error: Error | undefined;

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
    this.opened.push(log);
    return log;
  }

  /** The log of a daemon that is open. */
  get current(): FakeLog | undefined {
    return this.opened.findLast(({ closed }) => !closed);
  }
}
