/** The port logs: one FIFO per daemon in the run directory, read by an s6-log or by a tenant's log/run. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { HeldLog, LogPredecessor, Logs } from "../../engine/ports/logs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { KnownAccounts } from "../accounts/known-accounts.ts";
import { makeOwnDirectory } from "../files/conf-dir.ts";
import type { Launches } from "../processes/launches.ts";
import { helperProcessOf } from "../processes/tenant-process.ts";
import type { ShimLink } from "../shim/link.ts";
import { daemonName, fifoName, fifoOfErrors, fifoOfLogger, loggerErrors, readFifoName } from "../shim/names.ts";
import { fifoPath } from "./fifo.ts";
import { LONGEST_FLUSH, Log } from "./log.ts";
import type { LogPlan } from "./log-plan.ts";
import { OverflowWatch } from "./overflow.ts";
import { requireCompressor, requireWritable } from "./preconditions.ts";

interface FifoLogsOptions {
  readonly runDir: string;
  readonly accounts: KnownAccounts;
  readonly link: ShimLink;
  readonly launches: Launches;
  readonly report: (daemon: string, problem: string) => void;
}

export class FifoLogs implements Logs {
  readonly #options: FifoLogsOptions;
  readonly #overflows = new OverflowWatch();
  /** Numbers of the FIFOs that an earlier supervisor has left, by daemon. */
  readonly #left: ReadonlyMap<string, readonly number[]>;
  /** Names of the loggers that it has left, by FIFO. */
  readonly #loggers: ReadonlyMap<string | undefined, readonly string[]>;
  /** Number of the latest FIFO of all. */
  #number = 0;

  constructor(options: FifoLogsOptions) {
    this.#options = options;
    const { link } = options;
    const left = new Map<string, number[]>();
    for (const { daemon, number } of link.unused("fifo").flatMap((name) => readFifoName(name) ?? [])) {
      this.#number = Math.max(this.#number, number);
      left.set(daemon, [...(left.get(daemon) ?? []), number]);
    }
    this.#left = left;
    const names = link.found().map(({ name }) => name);
    this.#loggers = Map.groupBy(names, fifoOfLogger);
    // The logger of a closed FIFO must not be taken for that of another.
    for (const fifo of this.#loggers.keys())
      this.#number = Math.max(this.#number, readFifoName(fifo ?? "")?.number ?? 0);
  }

  open(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string, before: LogPredecessor): HeldLog {
    const identity = this.#options.accounts.identity(key.owner);
    makeOwnDirectory(key.owner, identity, directory, 0o700);
    requireWritable(key.owner.name, identity, directory);
    requireCompressor(logger);
    const destination = { identity, directory };
    const plan = { writer, logger: () => logger, containment: undefined, destination };
    return this.#hold(key, { ...plan, ...this.#fifo(key) }, before);
  }

  openService(
    key: DaemonKey,
    writer: Account,
    logger: LogPlan["logger"],
    group: () => string | undefined,
    before: LogPredecessor,
  ): HeldLog {
    const plan = { writer, logger, containment: { group }, destination: undefined };
    return this.#hold(key, { ...plan, ...this.#fifo(key) }, before);
  }

  /** The FIFO of an earlier supervisor that the daemon's runs write to, or the next one. */
  #fifo(key: DaemonKey): Pick<LogPlan, "name" | "fifo"> {
    const { runDir, link } = this.#options;
    const daemon = daemonName(key);
    const own = (this.#left.get(daemon) ?? []).filter((each) => link.isUnused("fifo", fifoName(daemon, each)));
    this.#number += 1;
    const number = own.length > 0 ? Math.max(...own) : this.#number;
    // Those before it were being closed.
    for (const former of own) if (former !== number) this.#abandon(fifoName(daemon, former));
    return { name: fifoName(daemon, number), fifo: fifoPath(runDir, key.owner.name, key.name, number) };
  }

  removeStrays(isKnown: (daemon: string) => boolean): void {
    const { link, launches } = this.#options;
    for (const name of link.unused("fifo")) {
      const fifo = readFifoName(name);
      if (fifo && !isKnown(fifo.daemon)) this.#abandon(name);
    }
    // Errors of the loggers of a FIFO that was closed before them.
    for (const name of link.unused("fifo")) {
      if (!readFifoName(name) && !link.isUnused("fifo", fifoOfErrors(name))) this.#release(name);
    }
    // A FIFO that was closed before its logger had ended.
    for (const { name } of link.found()) {
      const fifo = fifoOfLogger(name);
      if (fifo !== undefined && !link.isUnused("fifo", fifo)) launches.clear(name, LONGEST_FLUSH);
    }
  }

  /** Closes a FIFO that no run writes to: its logger writes the rest, and ends. */
  #abandon(fifo: string): void {
    const { link, launches } = this.#options;
    for (const name of [fifo, loggerErrors(fifo)]) {
      if (link.isUnused("fifo", name)) this.#release(name);
    }
    for (const name of this.#loggersOf(fifo)) launches.clear(name, LONGEST_FLUSH);
  }

  #release(name: string): void {
    const { link } = this.#options;
    link.use("fifo", name);
    link.requests.release("fifo", name);
  }

  #loggersOf(fifo: string): readonly string[] {
    return this.#loggers.get(fifo) ?? [];
  }

  #hold({ owner, name }: DaemonKey, plan: LogPlan, before: LogPredecessor): HeldLog {
    const report = (problem: string): void => this.#options.report(`${owner.name}/${name}`, problem);
    const failed =
      (doing: string) =>
      (error: unknown): void =>
        report(`${doing}: ${messageOf(error)}`);
    const { link, launches } = this.#options;
    const left = this.#loggersOf(plan.name);
    const surroundings = { link, launches, left, overflows: this.#overflows };
    const log = new Log(plan, before, surroundings, { report, replaced: before.changed });
    return {
      name: plan.name,
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
