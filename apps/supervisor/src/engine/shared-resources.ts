/** What all runs of a daemon share: its held socket or bind directory, and its log. */
import { withinShare } from "../core/budget.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { type Definition, isHeld } from "../core/definition.ts";
import { sameLog, type Terms } from "../core/terms.ts";
import { launchLogger, launchServiceLogger } from "../launch/plan.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { HeldLog, LogLoss, LogPredecessor, LogTrace } from "./ports/logs.ts";
import type { Ports } from "./ports/ports.ts";
import type { HelperProcess, ProcessIdentity } from "./ports/processes.ts";
import type { BindDirectory, HeldSocket } from "./ports/sockets.ts";

/** Shared resources that are open. */
export interface OpenResources {
  readonly socket: HeldSocket | undefined;
  readonly bind: BindDirectory | undefined;
  readonly log: HeldLog | undefined;
}

/** What the shared resources need of the daemon. */
export interface SharedResourcesHost {
  readonly key: DaemonKey;
  readonly limits: DaemonLimits;
  /** Main processes of its runs. */
  leaders(): readonly ProcessIdentity[];
  /** Bytes that the log may have; undefined is without limit. */
  logShare(): number | undefined;
  /** The terms' definition with the rlimits that replace cgroups. */
  limited(terms: Terms): Definition;
  /** The trace of the log has changed. */
  logChanged(): void;
}

export class SharedResources {
  readonly #ports: Pick<Ports, "sockets" | "logs" | "machine">;
  readonly #host: SharedResourcesHost;
  #socket: HeldSocket | undefined;
  #admits: boolean | undefined;
  #awaits = false;
  #bind: BindDirectory | undefined;
  /** Uid of the account that binds in the bind directory. */
  #binder: number | undefined;
  #log: HeldLog | undefined;
  /** The terms that the log was opened for. */
  #logOf: Terms | undefined;
  /** Resolves when all former logs are closed; undefined when none is being closed. */
  #closing: Promise<void> | undefined;
  /** The trace of the last log that an earlier supervisor opened or this one closed. */
  #former: LogTrace | undefined;

  /** @param closing resolves when the log of a former daemon of the same name is closed */
  constructor(
    ports: Pick<Ports, "sockets" | "logs" | "machine">,
    host: SharedResourcesHost,
    closing: Promise<void> | undefined,
  ) {
    this.#ports = ports;
    this.#host = host;
    if (closing) this.#awaitClosed(closing);
  }

  get socket(): HeldSocket | undefined {
    return this.#socket;
  }
  /** Path where clients connect; "" where they cannot. */
  get path(): string {
    return this.#socket?.path ?? this.#bind?.path ?? "";
  }
  /** Lines of its output that were not logged. */
  get loss(): LogLoss {
    return this.#log?.loss() ?? { lines: this.#former?.dropped ?? 0, reason: "" };
  }
  /** How the next supervisor finds the logger. */
  get logTrace(): LogTrace | undefined {
    return this.#log?.trace() ?? this.#former;
  }
  /** The logger, where it is a tenant's program. */
  get helperProcess(): HelperProcess | undefined {
    return this.#log?.helperProcess();
  }

  /** Continues the log of an earlier supervisor. */
  resumeLog(trace: LogTrace | undefined): void {
    this.#former = trace;
  }

  /**
   * Opens what a run of these terms needs. `stage` receives the name of each stage.
   * @throws errno errors
   */
  open(terms: Terms, stage: (name: string) => void): OpenResources {
    stage("publishing its socket");
    this.openSockets(terms);
    stage("opening its log");
    if (terms.definition.output !== "discard") this.#openLog(terms);
    return { socket: this.#socket, bind: this.#bind, log: this.#log };
  }

  /**
   * Holds the socket, or opens the bind directory, that the terms require; closes what they do not.
   * @throws errno errors
   */
  openSockets({ definition: { listen }, nginxGroup, account }: Terms): void {
    const { sockets } = this.#ports;
    const { key } = this.#host;
    if (!isHeld(listen) || this.#socket?.restore() === false) this.#closeSocket();
    if (listen !== "path" || this.#binder !== account.uid) this.#closeBind();
    if (isHeld(listen) && !this.#socket) {
      this.#socket = sockets.open(key, nginxGroup, this.#host.leaders());
      this.#admits = undefined;
    }
    if (listen === "path")
      this.#bind ??= sockets.openBindDirectory(key, nginxGroup, account, () => this.#host.leaders());
    this.#binder = account.uid;
  }

  /** Lets clients connect, or refuses them. */
  admit(clients: boolean): void {
    if (this.#socket && this.#admits !== clients) this.#socket.admit(clients);
    this.#admits = clients;
  }

  /** Refuses the clients that wait at the socket. No run of the daemon may live. */
  dismiss(): void {
    try {
      this.#socket?.refuseWaiting();
    } catch {
      // No other socket could be bound to its path. The next start meets the same error and reports it.
      this.#closeSocket();
    }
    this.#awaits = false;
  }

  /** Calls `came` once, when a client waits. */
  awaitClient(came: () => void): void {
    if (this.#awaits || !this.#socket) return;
    this.#awaits = true;
    this.#socket.awaitClient(() => {
      this.#awaits = false;
      came();
    });
  }

  #openLog(terms: Terms): void {
    const { key, limits } = this.#host;
    const { definition, account, logDirectory } = terms;
    const { privileged, tools } = this.#ports.machine;
    if (this.#log && this.#logOf && !sameLog(this.#logOf, terms)) void this.closeLog();
    this.#logOf = terms;
    if (definition.output === "log/run") {
      const launch = { definition: this.#host.limited(terms), owner: key.owner, account, privileged, tools };
      const paths = { socketPath: undefined, notifyPath: undefined };
      const logger = (cgroup: string | undefined) => launchServiceLogger({ ...launch, ...paths, cgroup });
      this.#log ??= this.#ports.logs.openService(key, account, logger, () => limits.loggerGroup(), this.#predecessor());
      return;
    }
    const own = { size: definition.logSize, files: definition.logFiles };
    const { size, files } = withinShare(own, this.#host.logShare());
    const bounds = { ...definition, logSize: size, logFiles: files };
    const logger = launchLogger(logDirectory, key.owner, bounds, privileged);
    if (this.#log) this.#log.follow(logger);
    else this.#log = this.#ports.logs.open(key, account, logger, logDirectory, this.#predecessor());
  }

  #predecessor(): LogPredecessor {
    const none = { logger: undefined, signature: undefined, dropped: 0 };
    return { ...none, ...this.#former, closed: this.#closing, changed: () => this.#host.logChanged() };
  }

  /** Logs an unterminated last line. @param idle whether no run of the daemon lives */
  settleLog(idle: () => boolean): void {
    const log = this.#log;
    log?.settle(() => this.#log === log && idle());
  }

  /** Resolves when all output is in the log's files and the loggers of this log and of all former ones have ended. */
  closeLog(): Promise<void> {
    const log = this.#log;
    if (log) {
      this.#log = undefined;
      this.#former = { logger: undefined, signature: undefined, dropped: log.loss().lines };
      this.#awaitClosed(log.close());
    }
    return this.#closing ?? Promise.resolve();
  }

  #awaitClosed(closed: Promise<void>): void {
    const closing = Promise.all([this.#closing, closed]).then(() => {
      if (this.#closing === closing) this.#closing = undefined;
    });
    this.#closing = closing;
  }

  closeSockets(): void {
    this.#closeSocket();
    this.#closeBind();
  }
  #closeSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#awaits = false;
  }
  #closeBind(): void {
    this.#bind?.close();
    this.#bind = undefined;
  }
}
