/** One daemon: its instances, their number, and the requests and events that concern all of them. */
import { type DaemonKey, idOf } from "../core/daemon-key.ts";
import { isHeld } from "../core/definition.ts";
import type { EnforcedLimit, Means } from "../core/enforcement.ts";
import { messageOf } from "../core/error-message.ts";
import { alive, type Block, type Event, isServing, type State } from "../core/lifecycle.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import { type RequestResult, runBeforeStart } from "../core/request-status.ts";
import type { PublicationStatus } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { renewedKey, renewedTerms } from "./accounts.ts";
import { cgroupSettingsOf, limitsOf, memoryLimitOf, relimited } from "./daemon-limits.ts";
import { DaemonParts, type DaemonPorts } from "./daemon-parts.ts";
import type { Instance } from "./instance.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { FoundFile } from "./ports/conf-source.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { LogLoss } from "./ports/logs.ts";
import type { HelperProcess, ProcessIdentity } from "./ports/processes.ts";
import type { InstanceRecord, RecordedAccount } from "./ports/records.ts";
import { completed, reopenShared, resumeInstances } from "./resume.ts";
import { type LatestRuns, Waiters } from "./waiters.ts";

/** Observes each step of an instance's state machine. */
export type TransitionListener = (
  daemon: Daemon,
  instance: Instance,
  event: Event["type"] | "rollback",
  before: State,
  after: State,
  reason?: string,
) => void;

/** A daemon that the supervisor knows. Its conf file may be invalid or forbidden: then its state says so. */
export class Daemon {
  #key: DaemonKey;
  readonly id: string;
  /** Its conf file as last read. */
  file: FoundFile;
  /** Whether it is dropped when it has stopped, because its conf file is missing or its exit was requested. */
  removed = false;
  /** Whether its exit was requested: its records say so, and stay when it is closed. */
  exited = false;
  /** Accounts of the runs that it has continued with. */
  foundAccounts: readonly RecordedAccount[] = [];
  /** Its sites, as the publisher last found them. */
  hosts: readonly PublicationStatus[] = [];
  /** Terms of its next runs. */
  terms: Terms | undefined;
  readonly ownerContext: OwnerContext;
  /** Number of instances that `scale` set; undefined where it did not. */
  #scale: number | undefined;
  /** Number of instances under an earlier supervisor, until the next start. */
  #former: number | undefined;
  readonly #ports: DaemonPorts;
  readonly #onTransition: TransitionListener;
  readonly #limits: DaemonLimits;
  readonly #parts: DaemonParts;
  readonly #waiters = new Waiters();
  /** Main processes that an earlier supervisor recorded, during `resume`. */
  #recorded: readonly ProcessIdentity[] = [];
  #oomKilled = 0;

  /** @param closing resolves when a former daemon of the same name has closed its log */
  constructor(
    key: DaemonKey,
    file: FoundFile,
    ports: DaemonPorts,
    onTransition: TransitionListener,
    ownerContext: OwnerContext,
    closing?: Promise<void>,
  ) {
    this.#key = key;
    this.id = idOf(key);
    this.file = file;
    this.#ports = ports;
    this.#onTransition = onTransition;
    this.ownerContext = ownerContext;
    this.#limits = ports.limits.daemon(key);
    this.#parts = new DaemonParts(
      ports,
      this,
      {
        limits: this.#limits,
        scale: () => this.#scale,
        recorded: () => this.#recorded,
        stepped: (instance, event, before, after) => this.#stepped(instance, event, before, after),
        rolledBack: (candidate, reason) =>
          onTransition(this, candidate, "rollback", candidate.state, candidate.state, reason),
        answer: () => this.#answer(),
        forgetFormerSize: () => {
          this.#former = undefined;
        },
      },
      closing,
    );
  }

  get key(): DaemonKey {
    return this.#key;
  }

  /** Takes over changed accounts of the same uids: its next runs get their groups and homes. */
  refresh(accounts: AccountBase): void {
    this.#key = renewedKey(this.#key, accounts);
    this.terms = renewedTerms(this.terms, accounts);
    for (const instance of this.instances()) {
      instance.key = renewedKey(instance.key, accounts);
      instance.terms = renewedTerms(instance.terms, accounts);
    }
  }

  /** Its instances by number, retiring ones included. */
  instances(): readonly Instance[] {
    return this.#parts.instances.all();
  }
  /** The instance whose state is shown as the daemon's. */
  get representative(): Instance {
    return this.#parts.instances.representative();
  }
  get state(): State {
    return this.representative.state;
  }
  get pid(): number {
    return this.representative.pid;
  }
  /** Whether an active instance has a live run. */
  get lives(): boolean {
    return this.#parts.instances.active().some(({ state }) => alive(state));
  }
  /** Whether it needs no log: no run lives, and none follows by itself. */
  get isResting(): boolean {
    return this.instances().every(({ state, pid }) => isResting(state) && pid === 0);
  }
  /** Why its active instances must not run; undefined where they may. */
  get block(): Block | undefined {
    return this.#parts.instances.active().find(({ state }) => state.block)?.state.block;
  }
  /** Whether a restart would apply changes of its conf file. */
  get changed(): boolean {
    return this.#parts.instances
      .active()
      .some(
        ({ state, terms }) =>
          alive(state) &&
          terms !== undefined &&
          (terms.fingerprint !== this.file.fingerprint || this.limits.some(({ pending }) => pending)),
      );
  }
  /** What its launch waits for, in words; "" where it does not wait. */
  get waiting(): string {
    return this.#parts.instances.active().find(({ waiting }) => waiting !== "")?.waiting ?? "";
  }
  get socketPath(): string {
    return this.#parts.shared.path;
  }
  /** Directory of its log's files; undefined where it has none. */
  get logDirectory(): string | undefined {
    return this.terms?.logDirectory;
  }
  /** Lines of its output that were not logged. */
  get logLoss(): LogLoss {
    return this.#parts.shared.loss;
  }
  /** Number of its runs that ended because they were out of memory. */
  get oomKilled(): number {
    return this.#oomKilled;
  }
  /** Whether a rolling restart is under way. */
  get rolling(): boolean {
    return this.#parts.restart.rolling !== undefined;
  }
  /** Serving terms: the former ones while a rolling restart may roll back to them. */
  get serving(): Terms | undefined {
    const { rolling } = this.#parts.restart;
    return rolling && !rolling.isServing ? rolling.former : this.terms;
  }
  /** Desired number of instances. */
  get size(): number {
    return this.#scale ?? this.#former ?? this.terms?.definition.instances ?? 1;
  }
  /** Its limits and its owner's, and what enforces them. */
  get limits(): readonly EnforcedLimit[] {
    return limitsOf(this);
  }
  get means(): Means {
    return this.#ports.machine.means;
  }
  /** Bytes of memory that its runs may have together at present. */
  get memoryLimit(): number | undefined {
    return memoryLimitOf(this);
  }
  /** Live programs of the tenant that belong to none of its runs. */
  helperProcesses(): readonly HelperProcess[] {
    const finishing = this.instances().flatMap(({ slot }) => slot.finishing() ?? []);
    return [...(this.#parts.shared.helperProcess ? [this.#parts.shared.helperProcess] : []), ...finishing];
  }
  /** cgroups that it uses. */
  groups(): readonly string[] {
    const logger = this.terms?.definition.output === "log/run" ? this.#limits.loggerGroup() : undefined;
    return [...(logger === undefined ? [] : [logger]), ...this.instances().flatMap(({ slot }) => slot.groups())];
  }

  /** Enforces its present limits and its owner's, for its runs and its next ones. @throws errno errors */
  applyLimits(): void {
    if (!this.terms || !alive(this.state)) return;
    this.#limits.apply(cgroupSettingsOf(this, this.terms));
  }

  /** Enforces the limits of other terms, as far as that needs no restart. @throws errno errors */
  relimit(next: Terms): void {
    const changed = (terms: Terms): Terms => relimited(terms, next);
    this.terms &&= changed(this.terms);
    this.#parts.restart.rolling?.relimit(changed);
    for (const instance of this.instances()) instance.terms &&= changed(instance.terms);
    this.applyLimits();
  }

  /** Feeds an event to every active instance; `stop`, `block` and `unblock` to retiring ones too. */
  feed(event: Exclude<Event, { run: number }>): void {
    if (event.type === "stop") {
      this.#scale = undefined;
      this.#former = undefined;
      this.#parts.restart.abandon("a stop was requested meanwhile");
      for (const instance of this.instances()) instance.feed(event);
      this.#parts.instances.fit();
      return;
    }
    const starts = event.type === "start" || event.type === "once";
    // A rolling restart has one instance more than the size.
    if (starts && !this.rolling) this.#parts.instances.fit();
    const concernsAll = event.type === "block" || event.type === "unblock";
    for (const instance of concernsAll ? this.instances() : this.#parts.instances.active()) instance.feed(event);
    if (event.type === "unblock") this.#parts.complete();
  }

  /** Number of the latest run of each instance, for `outcome`. */
  runs(): LatestRuns {
    return new Map(this.instances().map(({ key, state }) => [key.instance, state.run]));
  }

  /** The same before a start is requested (runBeforeStart). */
  runsBeforeStart(): LatestRuns {
    return new Map(this.instances().map(({ key, state }) => [key.instance, runBeforeStart(state)]));
  }

  /** Resolves when the desired state is reached or cannot be reached. @param since the runs before the request */
  outcome(desired: "up" | "down", since: LatestRuns): Promise<RequestResult> {
    const outcome = this.#waiters.wait(desired, since);
    this.#answer();
    return outcome;
  }

  /**
   * Sets the terms of the next runs. While no run lives, opens the socket at once; where that fails, blocks the daemon and
   * returns false.
   */
  offer(terms: Terms): boolean {
    this.terms = terms;
    if (alive(this.state)) {
      // Runs that serve keep their terms.
      for (const instance of this.#parts.instances.active()) {
        if (!isServing(instance.state) || !instance.terms) instance.terms = terms;
      }
      return true;
    }
    for (const instance of this.instances()) instance.terms = terms;
    this.#former = undefined;
    try {
      this.#parts.shared.openSockets(terms);
      this.#parts.instances.even();
      this.#parts.clients.publish();
    } catch (error) {
      const reason = `publishing its socket: ${messageOf(error)}`;
      this.feed({ type: "block", block: { kind: "invalid", reason } });
      return false;
    }
    // A daemon that no longer starts on demand would never be woken.
    if (this.state.phase === "asleep" && !terms.definition.ondemand) this.feed({ type: "start" });
    return true;
  }

  /** Replaces its runs by runs of the terms offered last: see restart.ts. @param former terms of the present runs */
  restart(former: Terms | undefined): Promise<RequestResult> {
    return this.#parts.restart.begin(former);
  }

  /** Changes the number of its instances: those with the highest numbers become retiring, or new ones start. Resolves when that is done. */
  scale(size: number): Promise<RequestResult> {
    const since = this.runs();
    const desired = this.#parts.instances.desired();
    this.#scale = size;
    this.#parts.instances.even();
    this.#parts.instances.remember();
    return this.outcome(desired, since);
  }

  /** Writes the records of its instances. */
  remember(): void {
    this.#parts.instances.remember();
  }

  /**
   * Continues from what an earlier supervisor left: records, and runs. False when there is nothing to continue.
   * @param terms by its present conf file; undefined where it must not run
   * @param former terms by the conf file that defined a run; undefined where it must not run by it
   */
  resume(terms: Terms | undefined, former: (conf: string, fingerprint: string) => Terms | undefined): boolean {
    const { records: recorded, runs } = this.#ports;
    const size = terms?.definition.instances ?? 1;
    const records = completed(recorded.recall(this.key), runs.found(this.key), size);
    const [first] = records.values();
    if (!first) return false;
    const all = [...records.values()];
    this.exited = all.some(({ exited }) => exited);
    if (this.exited && !all.some(({ state }) => alive(state))) return false;
    const termsOf = ({ conf, fingerprint, state }: InstanceRecord): Terms | undefined =>
      conf === undefined || fingerprint === this.file.fingerprint || !alive(state)
        ? undefined
        : former(conf, fingerprint);
    // A run stays with the conf file that it was made of, and so do those that follow until a restart is requested.
    const isInForce = all.some(({ state, fingerprint }) => alive(state) && fingerprint === this.file.fingerprint);
    this.terms = (isInForce ? undefined : all.map(termsOf).find((each) => each !== undefined)) ?? terms;
    this.#scale = first.scale;
    this.#former = first.size;
    this.#parts.shared.resumeLog(all.find(({ log }) => log?.logger)?.log ?? first.log);
    this.#recorded = all.flatMap(({ run }) => run?.leader ?? []);
    // A record is written again only when its run has been adopted: the record is what finds the run.
    const resources = reopenShared(this.#parts.shared, all, this.terms);
    const surroundings = { terms: this.terms, termsOf, resources, size: () => this.size };
    const isFound = resumeInstances(this.#parts.instances, records, surroundings);
    this.foundAccounts = all.flatMap(({ state, accounts }) => (accounts && alive(state) ? accounts : []));
    this.#recorded = [];
    this.#narrow();
    this.#parts.clients.publish();
    this.#parts.clients.watch();
    return isFound;
  }

  /** Sends a signal to the main process of each instance; false when there is none. */
  signal(signal: number): boolean {
    return this.instances().filter((instance) => instance.signal(signal)).length > 0;
  }

  /** Closes what it holds; answers its waiters. It must have stopped. */
  async close(): Promise<void> {
    this.#parts.restart.abandon("the daemon was removed");
    this.#answer();
    this.#waiters.abandon("the daemon was removed");
    this.#parts.clients.end();
    for (const instance of this.instances()) instance.close();
    this.#parts.shared.closeSockets();
    await this.#parts.shared.closeLog();
  }

  #stepped(instance: Instance, event: Event["type"], before: State, after: State): void {
    const hasEnded = alive(before) && !alive(after);
    if (event === "gone" && after.phase === "stopping") this.#waiters.excuse(instance.key.instance, after.run);
    if (hasEnded) this.#reopen();
    this.#onTransition(this, instance, event, before, after);
    if (event === "exited" && after.last !== before.last && after.last?.exit.how === "out-of-memory")
      this.#oomKilled += 1;
    if (before.phase !== after.phase && after.phase === "running") this.#parts.shared.socket?.restore();
    if (instance.retiring) this.#parts.instances.dropEnded(instance);
    if (instance.retiring && hasEnded) this.#parts.complete();
    if (hasEnded) this.#narrow();
    this.#parts.clients.publish();
    this.#parts.clients.watch();
    if (this.isResting) void this.#parts.shared.closeLog();
    this.#answer();
    this.#parts.restart.rolling?.advance();
  }

  /** Holds the socket that an ended run had kept: from now on clients wait or are refused. */
  #reopen(): void {
    if (!this.terms || !isHeld(this.terms.definition.listen) || alive(this.state) || this.#parts.shared.socket) return;
    try {
      this.#parts.shared.openSockets(this.terms);
    } catch {
      // The next start meets the same error and reports it.
    }
  }

  /** Enforces the limits for one run less. */
  #narrow(): void {
    if (!this.terms || !alive(this.state)) return;
    try {
      this.#limits.apply(cgroupSettingsOf(this, this.terms));
    } catch {
      // The next launch sets the same limits and reports the error.
    }
  }

  #answer(): void {
    this.#waiters.answer(this.#parts.instances);
  }
}

/** Whether it stays as it is until a request. */
const isResting = (state: State): boolean => !alive(state) && state.phase !== "coolingdown" && state.phase !== "asleep";
