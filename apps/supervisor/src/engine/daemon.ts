/** One daemon: its instances, how many there are, and what happens to all of them together. */
import { type Allotment, allowanceOf } from "../core/allowance.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { isHeld } from "../core/definition.ts";
import type { Held as Limit, Means } from "../core/enforcement.ts";
import { alive, type Event, type State } from "../core/lifecycle.ts";
import { type AccountBase, groupIds } from "../core/policy-rules.ts";
import type { HostStanding } from "../core/site.ts";
import { sameDefinition, type Terms } from "../core/terms.ts";
import { Clients, type ClientsHost } from "./clients.ts";
import { allotmentOf, limitsOf, memoryLimitOf } from "./daemon-allotment.ts";
import { Instance, type InstanceHost } from "./instance.ts";
import { InstanceSet } from "./instance-set.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { FoundFile } from "./ports/conf-source.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { LogLoss } from "./ports/logs.ts";
import type { Ports } from "./ports/ports.ts";
import type { Attendant, ProcessIdentity } from "./ports/runs.ts";
import { Restart, type RestartHost } from "./restart.ts";
import { reopenShared, resumeInstances } from "./resume.ts";
import { rlimited } from "./rlimited.ts";
import { SharedResources } from "./shared-resources.ts";
import { type Ending, type Runs, Waiters } from "./waiters.ts";

/** Observes each step of an instance's state machine. */
export type TransitionListener = (
  daemon: Daemon,
  instance: Instance,
  event: Event["type"] | "rollback",
  before: State,
  after: State,
  reason?: string,
) => void;

/** What a daemon needs of the world. */
export type DaemonPorts = Omit<Ports, "confs">;

/** A daemon that the supervisor knows. Its file may be wrong, and it may not be allowed to run: the state says so. */
export class Daemon {
  #key: DaemonKey;
  readonly id: string;
  /** The file as last read. */
  file: FoundFile;
  /** Whether the file is gone: the daemon is dropped when it has stopped. */
  removed = false;
  /** Its sites, as the publisher last found them. */
  hosts: readonly HostStanding[] = [];
  /** What its runs are to be made of from now on. */
  terms: Terms | undefined;
  readonly ownerContext: OwnerContext;
  /** How many instances `scale` set, if it did. */
  #scale: number | undefined;
  /** How many it had under an earlier supervisor, until it starts again. */
  #former: number | undefined;
  readonly #ports: DaemonPorts;
  readonly #onTransition: TransitionListener;
  readonly #limits: DaemonLimits;
  readonly #instances: InstanceSet;
  readonly #shared: SharedResources;
  readonly #clients: Clients;
  readonly #restart: Restart;
  readonly #waiters = new Waiters();
  /** Main processes that an earlier supervisor recorded, while it resumes. */
  #recorded: readonly ProcessIdentity[] = [];
  #oomKilled = 0;

  /** @param closing resolves when a former daemon of this name has closed its log */
  constructor(
    key: DaemonKey,
    file: FoundFile,
    ports: DaemonPorts,
    onTransition: TransitionListener,
    ownerContext: OwnerContext,
    closing?: Promise<void>,
  ) {
    this.#key = key;
    this.id = `${key.owner.name}/${key.name}`;
    this.file = file;
    this.#ports = ports;
    this.#onTransition = onTransition;
    this.ownerContext = ownerContext;
    this.#limits = ports.limits.daemon(key);
    const daemon = this;
    const host: InstanceHost = {
      open: (terms, stage) => this.#shared.open(terms, stage),
      markClients: (beginner) => this.#clients.mark(beginner),
      hasCompany: (one) => this.instances().some((other) => other !== one && alive(other.state)),
      stepped: (instance, event, before, after) => this.#stepped(instance, event, before, after),
      waits: () => this.#answer(),
      settleLog: () => this.#shared.settleLog(() => this.instances().every(({ pid }) => pid === 0)),
      logTrace: () => this.#shared.logTrace,
      get scale() {
        return daemon.#scale;
      },
      get size() {
        return daemon.size;
      },
      ownerContext,
      limits: this.#limits,
      allotment: (terms) => this.#allotment(terms),
      limited: (terms) => rlimited(terms, daemon.key.owner, ownerContext, ports.limits.means),
    };
    this.#shared = new SharedResources(
      ports,
      {
        get key() {
          return daemon.key;
        },
        limits: this.#limits,
        leaders: () => [...this.#recorded, ...this.instances().flatMap(({ run }) => run?.trace.leader ?? [])],
        logShare: () => ownerContext.logShare(),
        limited: host.limited,
        discard: () => {
          for (const instance of this.instances()) instance.discard();
        },
        logChanged: () => this.#instances.remember(),
      },
      closing,
    );
    this.#instances = new InstanceSet(
      (number, latestRun) => {
        const instanceKey = { ...this.key, instance: number };
        return new Instance(instanceKey, this.terms, latestRun, ports, host);
      },
      () => this.size,
    );
    const parts: ClientsHost & RestartHost = {
      get terms() {
        return daemon.terms;
      },
      set terms(terms) {
        daemon.terms = terms;
      },
      get rolling() {
        return daemon.rolling;
      },
      instances: this.#instances,
      shared: this.#shared,
      connected: () => this.feed({ type: "connection" }),
      idle: () => this.feed({ type: "idle" }),
      runs: () => this.runs(),
      outcome: (wish, since) => this.outcome(wish, since),
      forgetFormerSize: () => {
        this.#former = undefined;
      },
      rolledBack: (candidate, reason) =>
        this.#onTransition(this, candidate, "rollback", candidate.state, candidate.state, reason),
    };
    this.#clients = new Clients(ports.clock, parts);
    this.#restart = new Restart(ports.clock, parts);
  }

  get key(): DaemonKey {
    return this.#key;
  }

  /** Takes its accounts as they are now; they have the same uids. Its next runs get their groups and homes. */
  refresh(accounts: AccountBase, former: AccountBase): void {
    const { users } = accounts;
    const owner = users.get(this.#key.owner.name);
    if (owner) this.#key = { ...this.#key, owner };
    const renewed = (terms: Terms | undefined): Terms | undefined => {
      const account = terms && users.get(terms.account.name);
      return terms && account?.uid === terms.account.uid ? { ...terms, account } : terms;
    };
    this.terms = renewed(this.terms);
    for (const instance of this.instances()) {
      if (owner) instance.key = { ...instance.key, owner };
      const { account } = instance.terms ?? {};
      instance.terms = renewed(instance.terms);
      const now = instance.terms?.account;
      const isSame = account && now && String(groupIds(now, accounts)) === String(groupIds(account, former));
      // A standby launch has become the account already, with the groups that it had.
      if (!isSame) instance.discard();
    }
  }

  /** Its instances in the order of their numbers, retiring ones included. */
  instances(): readonly Instance[] {
    return this.#instances.all();
  }
  /** The instance whose state is the daemon's. */
  get representative(): Instance {
    return this.#instances.representative();
  }
  get state(): State {
    return this.representative.state;
  }
  get pid(): number {
    return this.representative.pid;
  }
  /** Whether its file differs from what a run of it was made of. */
  get changed(): boolean {
    return this.#instances
      .active()
      .some(
        ({ state, terms }) =>
          alive(state) &&
          terms !== undefined &&
          (terms.fingerprint !== this.file.fingerprint || this.limits.some(({ pending }) => pending)),
      );
  }
  /** What its launch waits for, in words; "" where it does not. */
  get waiting(): string {
    return this.#instances.active().find(({ waiting }) => waiting !== "")?.waiting ?? "";
  }
  get socketPath(): string {
    return this.#shared.path;
  }
  /** Directory of its log's files, wherever it has one. */
  get logDirectory(): string | undefined {
    return this.terms?.logDirectory;
  }
  /** Lines of its output that were not logged. */
  get logLoss(): LogLoss {
    return this.#shared.loss;
  }
  /** Runs of it that were ended because they were out of memory. */
  get oomKilled(): number {
    return this.#oomKilled;
  }
  /** Whether a restart is replacing its instances at present. */
  get rolling(): boolean {
    return this.#restart.rolling !== undefined;
  }
  /** The terms of the runs that serve at present: the former ones, as long as a restart may still roll back to them. */
  get serving(): Terms | undefined {
    const { rolling } = this.#restart;
    return rolling && !rolling.isServing ? rolling.former : this.terms;
  }
  /** How many instances it is to have. */
  get size(): number {
    return this.#scale ?? this.#former ?? this.terms?.definition.instances ?? 1;
  }
  /** Who enforces its limits, and its owner's. */
  get limits(): readonly Limit[] {
    return limitsOf(this);
  }
  get means(): Means {
    return this.#ports.limits.means;
  }
  /** Bytes of memory that its runs may have together at present. */
  get memoryLimit(): number | undefined {
    return memoryLimitOf(this);
  }
  /** Tenant's programs that live and belong to none of its runs. */
  attendants(): readonly Attendant[] {
    const finishing = this.instances().flatMap(({ slot }) => slot.finishing() ?? []);
    return [...(this.#shared.attendant ? [this.#shared.attendant] : []), ...finishing];
  }
  /** cgroups that it uses. */
  groups(): readonly string[] {
    const logger = this.terms?.definition.output === "log/run" ? this.#limits.loggerGroup() : undefined;
    return [...(logger === undefined ? [] : [logger]), ...this.instances().flatMap(({ slot }) => slot.groups())];
  }

  #allotment(terms: Terms): Allotment {
    return allotmentOf(this, terms);
  }

  /** Enforces the limits as they are now, those of its owner included, for its runs and its next ones. */
  allot(): void {
    if (!this.terms || !alive(this.state)) return;
    this.#limits.apply(this.#allotment(this.terms));
    const { controllers } = this.means;
    // Where rlimits are part of the launch, a standby launch has the former ones.
    if (controllers.has("memory") && controllers.has("pids")) return;
    for (const instance of this.instances()) instance.refresh();
  }

  /** Enforces the limits of other terms, as far as that needs no restart. */
  relimit({ definition, fingerprint }: Terms): void {
    const changed = (terms: Terms): Terms => {
      const limited = { ...terms.definition, ...allowanceOf(definition) };
      return { ...terms, definition: limited, ...(sameDefinition(limited, definition) && { fingerprint }) };
    };
    this.terms &&= changed(this.terms);
    this.#restart.rolling?.relimit(changed);
    for (const instance of this.instances()) instance.terms &&= changed(instance.terms);
    this.allot();
  }

  /** Gives an event to every active instance. */
  feed(event: Exclude<Event, { run: number }>): void {
    if (event.type === "stop") {
      this.#scale = undefined;
      this.#former = undefined;
      this.#restart.abandon("it was asked to stop meanwhile");
      for (const instance of this.instances()) instance.feed(event);
      this.#instances.fit();
      return;
    }
    const begins = event.type === "start" || event.type === "once";
    // A restart under way has one more than there are to be.
    if (begins && !this.rolling) this.#instances.fit();
    for (const instance of this.#instances.active()) instance.feed(event);
  }

  /** The latest run of each instance, for `outcome`. */
  runs(): Runs {
    return new Map(this.instances().map(({ key, state }) => [key.instance, state.run]));
  }

  /** Resolves when the requested state is reached, or cannot be. `since`: the runs before the request. */
  outcome(wish: "up" | "down", since: Runs): Promise<Ending> {
    const ending = this.#waiters.wait(wish, since);
    this.#answer();
    return ending;
  }

  /**
   * Sets what the next runs are to be made of. While none lives, what they need is opened at once; a daemon for which that
   * fails is blocked, and false returned.
   */
  offer(terms: Terms): boolean {
    this.terms = terms;
    if (alive(this.state)) {
      // A run that is ending no longer needs what it was made of.
      if (this.state.phase === "stopping") for (const instance of this.#instances.active()) instance.terms = terms;
      return true;
    }
    for (const instance of this.instances()) instance.terms = terms;
    this.#former = undefined;
    try {
      this.#shared.openSockets(terms);
      this.#instances.fit();
      this.#clients.publish();
    } catch (error) {
      const reason = `publishing its socket: ${error instanceof Error ? error.message : String(error)}`;
      this.feed({ type: "block", block: { kind: "invalid", reason } });
      return false;
    }
    // No client would wake it any more.
    if (this.state.phase === "asleep" && !terms.definition.ondemand) this.feed({ type: "start" });
    return true;
  }

  /** Ends its runs and starts others, of what was offered last: one by one where it listens, unless its file says no. */
  restart(former: Terms | undefined): Promise<Ending> {
    return this.#restart.begin(former);
  }

  /** Changes the number of its instances: the highest numbers end, others start. Resolves when that is done. */
  scale(size: number): Promise<Ending> {
    const since = this.runs();
    const { want } = this.state;
    this.#scale = size;
    this.#instances.even();
    this.#instances.remember();
    return this.outcome(want, since);
  }

  /**
   * Continues from where an earlier supervisor left, with its runs, as far as they still live. False when it left nothing.
   * @param terms what its file says now, if it may run
   */
  resume(terms: Terms | undefined): boolean {
    const records = this.#ports.records.recall(this.key);
    const [first] = records.values();
    if (!first) return false;
    this.terms = terms;
    this.#scale = first.scale;
    this.#former = first.size;
    const all = [...records.values()];
    this.#shared.resumeLog(all.find(({ log }) => log?.logger)?.log ?? first.log);
    this.#recorded = all.flatMap(({ run }) => run?.leader ?? []);
    // A record is written again only when its run has been adopted: the run is found by its record.
    const common = reopenShared(this.#shared, all, terms);
    const isFound = resumeInstances(this.#instances, records, terms, common, () => this.size);
    this.#recorded = [];
    this.#narrow();
    this.#clients.publish();
    this.#clients.watch();
    return isFound;
  }

  /** Sends a signal to the main process of each instance; false when there is none. */
  signal(signal: number): boolean {
    return this.instances().filter((instance) => instance.signal(signal)).length > 0;
  }

  /** Gives up what it holds. It must have stopped. */
  async close(): Promise<void> {
    this.#restart.abandon("it is dropped");
    this.#answer();
    this.#waiters.abandon("it is dropped");
    this.#clients.end();
    for (const instance of this.instances()) instance.close();
    this.#shared.closeSockets();
    await this.#shared.closeLog();
  }

  #stepped(instance: Instance, event: Event["type"], before: State, after: State): void {
    const hasEnded = alive(before) && !alive(after);
    if (hasEnded) this.#reopen();
    this.#onTransition(this, instance, event, before, after);
    if (event === "exited" && after.last !== before.last && after.last?.exit.how === "memory") this.#oomKilled += 1;
    if (before.phase !== after.phase && after.phase === "running") this.#shared.socket?.widen();
    if (instance.retiring) this.#instances.dropEnded(instance);
    if (hasEnded) this.#narrow();
    this.#clients.publish();
    this.#clients.watch();
    if (this.instances().every(({ state, pid }) => isResting(state) && pid === 0)) void this.#shared.closeLog();
    this.#answer();
    this.#restart.rolling?.advance();
  }

  /** A run that had kept its socket to itself has ended: clients are refused from now on, or wait. */
  #reopen(): void {
    if (!this.terms || !isHeld(this.terms.definition.listen) || alive(this.state) || this.#shared.socket) return;
    try {
      this.#shared.openSockets(this.terms);
    } catch {
      // The next start meets the same trouble, and reports it.
    }
  }

  /** One run less: its room goes with it. */
  #narrow(): void {
    if (!this.terms || !alive(this.state)) return;
    try {
      this.#limits.apply(this.#allotment(this.terms));
    } catch {
      // The next launch sets the same limits, and reports what prevents that.
    }
  }

  #answer(): void {
    this.#waiters.answer(this.instances());
  }
}

/** Whether nothing happens until somebody requests it. */
const isResting = (state: State): boolean => !alive(state) && state.phase !== "coolingdown" && state.phase !== "asleep";
