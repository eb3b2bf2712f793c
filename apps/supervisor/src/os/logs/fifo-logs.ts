/** The port logs: one FIFO per daemon in the run directory, read by an s6-log or by a tenant's log/run. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { HeldLog, LogPredecessor, Logs } from "../../engine/ports/logs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { KnownAccounts } from "../accounts/known-accounts.ts";
import { makeOwnDirectory } from "../files/conf-dir.ts";
import type { Poller } from "../kernel/poller.ts";
import { helperProcessOf } from "../processes/tenant-process.ts";
import { fifoPath } from "./fifo.ts";
import { Log } from "./log.ts";
import type { LogPlan } from "./log-plan.ts";
import { OverflowWatch } from "./overflow.ts";
import { requireCompressor, requireWritable } from "./preconditions.ts";

export interface FifoLogsOptions {
  readonly runDir: string;
  readonly accounts: KnownAccounts;
  readonly poller: Poller;
  readonly report: (daemon: string, problem: string) => void;
}

export class FifoLogs implements Logs {
  readonly #options: FifoLogsOptions;
  readonly #overflows = new OverflowWatch();

  constructor(options: FifoLogsOptions) {
    this.#options = options;
  }

  open(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string, before: LogPredecessor): HeldLog {
    const identity = this.#options.accounts.identity(key.owner);
    makeOwnDirectory(key.owner, identity, directory, 0o700);
    requireWritable(key.owner.name, identity, directory);
    requireCompressor(logger);
    const fifo = fifoPath(this.#options.runDir, key.owner.name, key.name);
    const destination = { identity, directory };
    return this.#hold(key, { fifo, writer, logger: () => logger, containment: undefined, destination }, before);
  }

  openService(
    key: DaemonKey,
    writer: Account,
    logger: LogPlan["logger"],
    group: () => string | undefined,
    before: LogPredecessor,
  ): HeldLog {
    const fifo = fifoPath(this.#options.runDir, key.owner.name, key.name);
    return this.#hold(key, { fifo, writer, logger, containment: { group }, destination: undefined }, before);
  }

  #hold({ owner, name }: DaemonKey, plan: LogPlan, before: LogPredecessor): HeldLog {
    const report = (problem: string): void => this.#options.report(`${owner.name}/${name}`, problem);
    const failed =
      (doing: string) =>
      (error: unknown): void =>
        report(`${doing}: ${messageOf(error)}`);
    const surroundings = { poller: this.#options.poller, overflows: this.#overflows };
    const log = new Log(plan, before, surroundings, { report, replaced: before.changed });
    return {
      descriptor: log.fd,
      loss: () => log.loss,
      trace: () => log.trace,
      helperProcess: () => log.tenants && helperProcessOf("log/run", log.tenants, report),
      follow: (next) => {
        requireCompressor(next);
        log.follow(next);
      },
      settle: (idle) => void log.settle(idle).catch(failed("its last line")),
      close: () => log.close().catch(failed("closing its log")),
    };
  }
}
