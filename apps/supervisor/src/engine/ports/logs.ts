/** Logs of daemons: a FIFO that a daemon writes to, and the logger that reads it. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { HelperProcess, ProcessIdentity } from "./processes.ts";

/** Lines that were not logged. */
export interface LogLoss {
  /** Lines dropped since the supervisor first knew the daemon. */
  readonly lines: number;
  /** Why lines are being dropped now, and why the last logger ended; "" when none are and the logger works. */
  readonly reason: string;
}

/** How the next supervisor finds a log's logger again. Plain data. */
export interface LogTrace {
  readonly logger: ProcessIdentity | undefined;
  /** Equal for loggers that write alike; undefined for a tenant's program. */
  readonly signature: string | undefined;
  /** LogLoss.lines */
  readonly dropped: number;
}

/** What a new log continues. */
export interface LogPredecessor extends LogTrace {
  /** Resolves when the log before it is closed; undefined when none is being closed. */
  readonly closed: Promise<void> | undefined;
  /** Called when its trace has changed. */
  readonly changed: () => void;
}

/** A daemon's log, open for its daemon to write to. */
export interface HeldLog {
  /** Name of its FIFO. */
  readonly name: string;
  loss(): LogLoss;
  trace(): LogTrace;
  /** The logger, where it is a tenant's program. */
  helperProcess(): HelperProcess | undefined;
  /** From now on its lines are written by this logger; none is lost. */
  follow(logger: LaunchPlan): void;
  /** Logs a last line that has no end. @param idle whether no run of the daemon lives */
  settle(idle: () => boolean): void;
  /** Resolves when everything written is in the log's files. Never rejects. */
  close(): Promise<void>;
}

/** Methods may throw errno errors. */
export interface Logs {
  /** Ends the loggers of an earlier supervisor that belong to no known daemon, by id, once they have written the rest. */
  removeStrays(isKnown: (daemon: string) => boolean): void;
  /** Opens a log whose logger is ours and runs as the owner. @param directory of its files */
  open(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string, before: LogPredecessor): HeldLog;
  /** The same with a logger that is a tenant's program: it runs in a cgroup and is ended with all that it started. */
  openService(
    key: DaemonKey,
    writer: Account,
    logger: (cgroup: string | undefined) => LaunchPlan,
    group: () => string | undefined,
    before: LogPredecessor,
  ): HeldLog;
}
