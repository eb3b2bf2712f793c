/** What the runs of a daemon share: its listening socket, or the place where they bind one themselves, and its log. */
import { withinShare } from "../core/budget.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { type Definition, isHeld } from "../core/definition.ts";
import type { Terms } from "../core/terms.ts";
import { launchLogger, launchServiceLogger } from "../launch/plan.ts";
import type { Common } from "./instance.ts";
import type { BindingPlace, HeldLog, HeldSocket, LogLoss, Machine } from "./ports/machine.ts";

/** What it needs of the daemon. */
export interface Tenant {
  readonly key: DaemonKey;
  /** Bytes that its log may have; undefined is without limit. */
  logShare(): number | undefined;
  /** What its file says, with the rlimits that stand in for cgroups. */
  limited(terms: Terms): Definition;
  /** Gives up the launches that stand by: they hold what is about to go. */
  discard(): void;
}

export class SharedResources {
  readonly #machine: Machine;
  readonly #tenant: Tenant;
  #socket: HeldSocket | undefined;
  #admits: boolean | undefined;
  #awaits = false;
  #binding: BindingPlace | undefined;
  /** Uid of the account that binds there. */
  #binder: number | undefined;
  #log: HeldLog | undefined;
  /** What the log was opened for. */
  #logOf: Terms | undefined;
  #closing: Promise<void> = Promise.resolve();
  #loss: LogLoss = { lines: 0, reason: "" };

  constructor(machine: Machine, tenant: Tenant) {
    this.#machine = machine;
    this.#tenant = tenant;
  }

  get socket(): HeldSocket | undefined {
    return this.#socket;
  }
  /** Where clients find it; "" where they do not. */
  get path(): string {
    return this.#socket?.path ?? this.#binding?.path ?? "";
  }
  /** What of the daemon's output was not logged. */
  get loss(): LogLoss {
    return this.#log?.loss() ?? this.#loss;
  }
  /** Goes on counting where an earlier supervisor left. */
  resumeLoss(lines: number): void {
    this.#loss = { lines, reason: "" };
  }

  /**
   * Opens what a run of these terms needs. `stage` is told what is being done.
   * @param kept whether runs that live keep their socket where it cannot be taken over: then there is none
   * @throws errno errors
   */
  open(terms: Terms, stage: (name: string) => void, kept = false): Common {
    stage("publishing its socket");
    this.openPlaces(terms, kept);
    stage("opening its log");
    if (terms.definition.output !== "discard") this.#openLog(terms);
    return { socket: this.#socket, binding: this.#binding, log: this.#log };
  }

  /**
   * Holds the socket that the terms name, or none.
   * @param kept see `open`
   * @throws errno errors
   */
  openPlaces({ definition: { listen }, nginxGroup, account }: Terms, kept = false): void {
    const { key } = this.#tenant;
    if (this.#socket && !this.#socket.intact()) {
      this.#tenant.discard();
      this.closePlaces();
    }
    if (!isHeld(listen)) this.#closeSocket();
    if (listen !== "path" || this.#binder !== account.uid) this.#closeBinding();
    this.#socket?.widen();
    if (isHeld(listen) && !this.#socket) {
      const descriptor = listen === "fastcgi" ? 0 : 3;
      this.#socket = this.#machine[kept ? "takeSocket" : "openSocket"](key, nginxGroup, descriptor);
      this.#admits = undefined;
    }
    if (listen === "path") this.#binding ??= this.#machine.openBinding(key, nginxGroup, account);
    this.#binder = account.uid;
  }

  /** Lets clients in, or turns them away. */
  admit(clients: boolean): void {
    if (this.#socket && this.#admits !== clients) this.#socket.admit(clients);
    this.#admits = clients;
  }

  /** Sends those away who wait at the socket. No process of the daemon may live. */
  dismiss(): void {
    this.#tenant.discard();
    try {
      this.#socket?.dismiss();
    } catch {
      // There can be no other at its path. The next start meets the same trouble, and tells it.
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
    const { key } = this.#tenant;
    const { definition, account, logDirectory } = terms;
    const { privileged, tools } = this.#machine;
    if (this.#log && this.#logOf && !sameLog(this.#logOf, terms)) void this.closeLog();
    this.#logOf = terms;
    if (definition.output === "log/run") {
      const limited = this.#tenant.limited(terms);
      const launch = { definition: limited, owner: key.owner, account, privileged, tools };
      const nothing = { socketPath: undefined, notifyPath: undefined };
      this.#log ??= this.#machine.openServiceLog(key, account, (cgroup) =>
        launchServiceLogger({ ...launch, ...nothing, cgroup }),
      );
      return;
    }
    const own = { size: definition.logSize, files: definition.logFiles };
    const { size, files } = withinShare(own, this.#tenant.logShare());
    const bounds = { ...definition, logSize: size, logFiles: files };
    const logger = launchLogger(logDirectory, key.owner, bounds, privileged);
    if (this.#log) this.#log.follow(logger);
    else this.#log = this.#machine.openLog(key, account, logger, logDirectory);
  }

  /** Resolves when all that was written is in the log's files, and no logger is left of this log nor of those before it. */
  closeLog(): Promise<void> {
    const log = this.#log;
    if (!log) return this.#closing;
    // What stands by has the log's FIFO open, and would write where nobody reads.
    this.#tenant.discard();
    this.#log = undefined;
    const closed = log.close().then(() => {
      this.#loss = { lines: log.loss().lines, reason: "" };
    });
    this.#closing = Promise.all([this.#closing, closed]).then(() => undefined);
    return this.#closing;
  }

  closePlaces(): void {
    this.#closeSocket();
    this.#closeBinding();
  }
  #closeSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#awaits = false;
  }
  #closeBinding(): void {
    this.#binding?.close();
    this.#binding = undefined;
  }
}

/** Whether runs of both write to one log. */
export const sameLog = (a: Terms, b: Terms): boolean =>
  a.account.uid === b.account.uid && a.logDirectory === b.logDirectory && a.definition.output === b.definition.output;
