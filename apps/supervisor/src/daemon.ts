/** One daemon: what its instances share, how many there are, and the restart that replaces them one by one. */
import { type Allotment, ATTENDANTS, allot, allowanceOf, type Crowd, widened } from "./core/allowance.ts";
import { budgetAllowance, withinShare } from "./core/budget.ts";
import { type Definition, isHeld } from "./core/definition.ts";
import { enforcement, type Held as Limit, type Means } from "./core/enforcement.ts";
import type { Hostname } from "./core/hostname.ts";
import { launchLogger, launchServiceLogger } from "./core/launch.ts";
import { alive, type Event, isExpected, type State, verdict } from "./core/lifecycle.ts";
import { type AccountBase, groupIds } from "./core/policy-rules.ts";
import { nextMove, paired, passed, type Rollout } from "./core/rollout.ts";
import { type Common, type Host, type Household, Instance, type Terms } from "./instance.ts";
import type {
  BindingPlace,
  DaemonKey,
  FoundFile,
  HeldLog,
  HeldSocket,
  InstanceRecord,
  LogLoss,
  Machine,
} from "./machine.ts";

/** Tells what became of each step; main.ts makes it the supervisor's log. */
export type Witness = (
  daemon: Daemon,
  instance: Instance,
  event: Event["type"] | "rollback",
  before: State,
  after: State,
  reason?: string,
) => void;

/** How an attempt ended: `ran` tells whether a process of it has lived. */
export type Ending = { readonly ok: true } | { readonly ok: false; readonly reason: string; readonly ran: boolean };

/** How often a rolling restart looks whether the new process is reached. In ms. */
const ROLLOUT_LOOK = 10;
/** How many looks at its clients a sleepy daemon gets in the time after which it goes to sleep. */
const IDLE_LOOKS = 8;

/** The instance that speaks for its daemon is the first in this order. */
const FOREMOST: readonly State["phase"][] = [
  "running",
  "starting",
  "stopping",
  "asleep",
  "coolingdown",
  "failed",
  "forbidden",
  "invalid",
  "stopped",
];

interface Waiter {
  readonly wish: "up" | "down";
  /** The runs that there were, by instance. */
  readonly since: ReadonlyMap<number, number>;
  readonly resolve: (ending: Ending) => void;
}

/** How one of a daemon's sites stands. Paths of its logs are undefined where it is refused. */
export interface HostStanding {
  readonly name: Hostname;
  readonly state: "published" | "pending" | "refused";
  readonly reason: string;
  readonly url: string;
  readonly logs: { readonly access: string; readonly error: string } | undefined;
}

/** A daemon that the supervisor knows. Its file may be wrong, and it may not be allowed to run: the state says so. */
export class Daemon {
  #key: DaemonKey;
  readonly id: string;
  /** The file as last read. */
  file: FoundFile;
  /** Whether the file is gone: the daemon is dropped when it has stopped. */
  removed = false;
  /** Its sites, as hosting.ts has found them last. */
  hosts: readonly HostStanding[] = [];
  /** What its runs are to be made of from now on. */
  terms: Terms | undefined;
  /** How many instances it was told to have, if not what its file says. */
  #scale: number | undefined;
  readonly household: Household;
  readonly #machine: Machine;
  readonly #witness: Witness;
  readonly #instances = new Map<number, Instance>();
  readonly #host: Host;
  #socket: HeldSocket | undefined;
  #open: boolean | undefined;
  #awaiting = false;
  #binding: BindingPlace | undefined;
  #log: HeldLog | undefined;
  #loss: LogLoss = { lines: 0, reason: "" };
  #waiters: Waiter[] = [];
  #rollout: { plan: Rollout; readonly former: Terms | undefined; resolve: ((ending: Ending) => void)[] } | undefined;
  #cancelLook: (() => void) | undefined;
  #lastClient = 0;
  #cancelIdle: (() => void) | undefined;

  constructor(key: DaemonKey, file: FoundFile, machine: Machine, witness: Witness, household: Household) {
    this.#key = key;
    this.id = `${key.owner.name}/${key.name}`;
    this.file = file;
    this.#machine = machine;
    this.#witness = witness;
    this.household = household;
    const daemon = this;
    this.#host = {
      open: (terms, stage) => this.#openAll(terms, stage),
      markClients: () => this.#markClients(),
      hasCompany: (one) => this.instances().some((other) => other !== one && alive(other.state)),
      stepped: (instance, event, before, after) => this.#stepped(instance, event, before, after),
      waits: () => this.#answer(),
      get scale() {
        return daemon.#scale;
      },
      household,
      allotment: (terms) => this.#allotment(terms.definition),
    };
    this.#add();
  }

  get key(): DaemonKey {
    return this.#key;
  }

  /** Takes its accounts as they are now, which have the uids that they had: its next runs get their groups and homes. */
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
      // A launch that stands by has become the account already, with the groups that it had.
      if (!isSame) this.#machine.discard(instance.key);
    }
  }

  /** Its instances in the order of their numbers, those on their way out included. */
  instances(): readonly Instance[] {
    return [...this.#instances.values()].sort((a, b) => a.key.instance - b.key.instance);
  }
  #lasting(): readonly Instance[] {
    return this.instances().filter(({ surplus }) => !surplus);
  }
  /** The instance that speaks for it: the first of those that are best off. */
  get foremost(): Instance {
    const all = [...this.#lasting(), ...this.instances()];
    for (const phase of FOREMOST) {
      const found = all.find(({ state }) => state.phase === phase);
      if (found) return found;
    }
    return all[0] as Instance;
  }
  get state(): State {
    return this.foremost.state;
  }
  /** Whether its file says something else by now than what a run of it was made of. */
  get changed(): boolean {
    return this.#lasting().some(
      ({ state, terms }) =>
        alive(state) &&
        terms !== undefined &&
        (terms.fingerprint !== this.file.fingerprint || this.limits.some(({ pending }) => pending)),
    );
  }
  get pid(): number {
    return this.foremost.pid;
  }
  /** What its launch waits for, in words; "" where it does not. */
  get waiting(): string {
    return this.#lasting().find(({ waiting }) => waiting !== "")?.waiting ?? "";
  }
  get socketPath(): string {
    return this.#socket?.path ?? this.#binding?.path ?? "";
  }
  /** Directory of its log's files, wherever it has one. */
  get logDirectory(): string | undefined {
    return this.terms?.logDirectory;
  }
  /** What of its output was not logged. */
  get logLoss(): LogLoss {
    return this.#log?.loss() ?? this.#loss;
  }
  /** Whether a restart is replacing its instances at present. */
  get rolling(): boolean {
    return this.#rollout !== undefined;
  }
  /** How many instances it is to have. */
  get size(): number {
    return this.#scale ?? this.terms?.definition.instances ?? 1;
  }

  /** Who holds it to its limits, and its owner's. */
  get limits(): readonly Limit[] {
    const { terms } = this;
    if (!terms) return [];
    const launched = this.instances().find((one) => one.launched)?.launched;
    const budget = budgetAllowance(this.household.budget);
    return enforcement({ own: terms.definition, budget, launched, user: terms.account }, this.#machine.means);
  }
  /** What holds limits here. */
  get means(): Means {
    return this.#machine.means;
  }

  #crowd(definition: Definition): Crowd {
    const runs = Math.max(1, this.instances().filter(({ state }) => alive(state)).length);
    const spares = isHeld(definition.listen) && !definition.ondemand ? runs : 0;
    const attendants = definition.output === "log/run" ? ATTENDANTS : 0;
    return { runs, size: this.size, spares: spares + attendants };
  }

  #allotment(definition: Definition): Allotment {
    return allot(budgetAllowance(this.household.budget), definition, this.#crowd(definition));
  }

  /** Bytes of memory that its runs may have together at present. */
  get memoryLimit(): number | undefined {
    const definition = this.terms?.definition;
    return definition && widened(definition, this.#crowd(definition)).memory;
  }

  /** Holds its runs, and its next ones, to the limits as they are now, those of its owner included. */
  allot(): void {
    if (!this.terms || !alive(this.state)) return;
    this.#machine.allot(this.key, this.#allotment(this.terms.definition));
    const { controllers } = this.#machine.means;
    // Where rlimits are part of the launch, what stands by has the former ones.
    if (controllers.has("memory") && controllers.has("pids")) return;
    for (const instance of this.instances()) instance.refresh();
  }

  /** Holds what lives to the limits of other terms, as far as that can be done without a restart. */
  relimit({ definition, fingerprint }: Terms): void {
    const changed = (terms: Terms | undefined): Terms | undefined => {
      if (!terms) return undefined;
      const limited = { ...terms.definition, ...allowanceOf(definition) };
      return { ...terms, definition: limited, ...(sameDefinition(limited, definition) && { fingerprint }) };
    };
    if (this.rolling) return;
    this.terms = changed(this.terms);
    for (const instance of this.instances()) instance.terms = changed(instance.terms);
    this.allot();
  }

  /** Gives an event to every instance that is to stay. */
  feed(event: Exclude<Event, { run: number }>): void {
    if (event.type === "stop") {
      this.#scale = undefined;
      this.#abandon("it was asked to stop meanwhile");
      for (const instance of this.instances()) instance.feed(event);
      this.#fit();
      return;
    }
    if (event.type === "start" || event.type === "once") this.#fit();
    for (const instance of this.#lasting()) instance.feed(event);
  }

  /** The latest run of each instance, for `outcome`. */
  runs(): ReadonlyMap<number, number> {
    return new Map(this.instances().map(({ key, state }) => [key.instance, state.run]));
  }

  /** Resolves when what was asked for has come about, or cannot. `since`: the runs there were before it was asked. */
  outcome(wish: "up" | "down", since: ReadonlyMap<number, number>): Promise<Ending> {
    return new Promise((resolve) => {
      this.#waiters.push({ wish, since, resolve });
      this.#answer();
    });
  }

  /**
   * Says what the next runs are to be made of. While none lives, what they need is opened at once; a daemon for which that
   * cannot be done is barred, and false returned.
   */
  offer(terms: Terms): boolean {
    this.terms = terms;
    if (alive(this.state)) {
      // What is ending has no more use for what it was made of.
      if (this.state.phase === "stopping") for (const instance of this.#lasting()) instance.terms = terms;
      return true;
    }
    for (const instance of this.instances()) instance.terms = terms;
    try {
      this.#openPlaces(terms);
      this.#fit();
      this.#publish();
      return true;
    } catch (error) {
      const reason = `publishing its socket: ${error instanceof Error ? error.message : String(error)}`;
      this.feed({ type: "bar", bar: { kind: "invalid", reason } });
      return false;
    }
  }

  /** Ends its runs and begins others, of what was offered last: one by one where it listens, unless its file says no. */
  restart(former: Terms | undefined): Promise<Ending> {
    const { terms } = this;
    const since = this.runs();
    const running = this.#lasting().filter(({ state }) => alive(state) && state.want === "up");
    // With a lock the new process would wait for the old one, and the old one for the new.
    const mayRoll = terms?.definition.rolling && terms.definition.lock === undefined;
    const rolls = mayRoll && running.length > 0 && former && isCompatible(former, terms);
    if (!terms || !rolls) {
      this.#abandon("it was asked to restart meanwhile");
      for (const instance of this.#lasting()) if (terms) instance.terms = terms;
      this.#fit();
      for (const instance of this.#lasting()) instance.feed({ type: "restart" });
      return this.outcome("up", since);
    }
    const waiting = this.#rollout?.resolve ?? [];
    const { pair } = this.#rollout?.plan ?? {};
    const unfinished = pair && this.#instances.get(pair.fresh);
    if (unfinished && this.#instances.get(pair.old)?.state.want === "up") this.#dismiss(unfinished, "stop");
    for (const instance of this.#lasting()) {
      if (running.includes(instance)) continue;
      instance.terms = terms;
      instance.feed({ type: "restart" });
    }
    const queue = running.filter(({ surplus }) => !surplus).map(({ key }) => key.instance);
    return new Promise((resolve) => {
      this.#rollout = { plan: { queue, pair: undefined, replaced: 0 }, former, resolve: [...waiting, resolve] };
      this.#advance();
    });
  }

  /** Changes the number of its instances: the highest numbers go, others come. Resolves when it is so. */
  scale(size: number): Promise<Ending> {
    const since = this.runs();
    const { want } = this.state;
    this.#scale = size;
    this.#even();
    for (const instance of this.#lasting()) instance.remember();
    return this.outcome(want, since);
  }

  /**
   * Goes on from where an earlier supervisor left: with its runs, as far as they still live. False when it left nothing.
   * @param terms what its file says now, if it may run
   */
  resume(terms: Terms | undefined): boolean {
    const records = this.#machine.recall(this.key);
    if (records.size === 0) return false;
    this.terms = terms;
    this.#loss = { lines: [...records.values()][0]?.dropped ?? 0, reason: "" };
    // A record is written again only when its run has been taken up: it is by the record that the run is found.
    let common: Common = { socket: undefined, binding: undefined, log: undefined };
    try {
      if (terms && anyAlive(records)) common = this.#openAll(terms, () => undefined);
      else if (terms) this.#openPlaces(terms);
    } catch {
      // What cannot be opened now is tried, and told, again at its next start.
    }
    this.#scale = [...records.values()][0]?.scale;
    for (const instance of this.instances()) this.#instances.delete(instance.key.instance);
    for (const [number, record] of records) this.#add(number).resume(record, common);
    this.#fit();
    // They listen on a socket that clients no longer find: only new runs can listen on the present one.
    for (const instance of this.#socket?.fresh ? this.#lasting() : []) {
      if (alive(instance.state) && instance.state.want === "up") instance.feed({ type: "restart" });
    }
    this.#narrow();
    this.#publish();
    return true;
  }

  /** Sends a signal to the main process of each instance; false when there is none. */
  signal(signal: number): boolean {
    return this.instances().filter((instance) => instance.signal(signal)).length > 0;
  }

  /** Gives up what it holds. It must have stopped. */
  async close(): Promise<void> {
    this.#cancelLook?.();
    this.#cancelIdle?.();
    for (const instance of this.instances()) instance.close();
    this.#closePlaces();
    await this.#closeLog();
  }

  #add(number = this.#free()): Instance {
    const latest = Math.max(0, ...this.instances().map(({ state }) => state.run));
    const key = { ...this.key, instance: number };
    const instance = new Instance(key, this.terms, latest, this.#machine, this.#host);
    this.#instances.set(number, instance);
    return instance;
  }

  #free(): number {
    for (let number = 1; ; number += 1) if (!this.#instances.has(number)) return number;
  }

  /** Makes the number of its instances what it is to be: what is too many ends, what is missing is not yet begun. */
  #fit(): void {
    const lasting = this.#lasting();
    for (const instance of lasting.slice(this.size)) this.#dismiss(instance, "retire");
    for (let missing = this.size - lasting.length; missing > 0; missing -= 1) {
      const instance = this.#add();
      const { bar } = lasting[0]?.state ?? {};
      if (bar) instance.feed({ type: "bar", bar });
    }
  }

  /** The same, and begins what is missing if the others are wanted up. */
  #even(): void {
    const { want } = this.state;
    this.#fit();
    if (want === "down") return;
    for (const instance of this.#lasting()) if (instance.state.want === "down") instance.feed({ type: "start" });
  }

  #dismiss(instance: Instance, how: "retire" | "stop"): void {
    instance.surplus = true;
    instance.feed({ type: how });
    if (!alive(instance.state)) this.#forget(instance);
  }

  #forget(instance: Instance): void {
    instance.close();
    this.#instances.delete(instance.key.instance);
  }

  #stepped(instance: Instance, event: Event["type"], before: State, after: State): void {
    this.#witness(this, instance, event, before, after);
    if (instance.surplus && !alive(after)) this.#forget(instance);
    if (alive(before) && !alive(after)) this.#narrow();
    this.#publish();
    this.#watchIdleness();
    if (this.instances().every(({ state, pid }) => isResting(state) && pid === 0)) void this.#closeLog();
    this.#answer();
    this.#advance();
  }

  /** One run less: what there was room for besides goes with it. */
  #narrow(): void {
    if (!this.terms || !alive(this.state)) return;
    try {
      this.#machine.allot(this.key, this.#allotment(this.terms.definition));
    } catch {
      // The next launch sets the same limits, and tells what keeps it from that.
    }
  }

  /** Lets clients in as long as one of its instances will be there for them, and wakes those that sleep when one comes. */
  #publish(): void {
    const now = this.#machine.now();
    const open = this.instances().some(({ state }) => isExpected(state, now));
    if (this.#socket && this.#open !== open) this.#socket.admit(open);
    this.#open = open;
    if (this.#socket && !open && !alive(this.state)) {
      for (const { key } of this.instances()) this.#machine.discard(key);
      this.#socket.dismiss();
    }
    if (this.#awaiting || !this.#socket || !this.#lasting().some(({ state }) => state.phase === "asleep")) return;
    this.#awaiting = true;
    this.#socket.awaitClient(() => {
      this.#awaiting = false;
      this.feed({ type: "connection" });
      this.#publish();
    });
  }

  #watchIdleness(): void {
    const { definition } = this.terms ?? {};
    const awake = this.#lasting().some(({ state }) => state.phase === "running");
    if (!definition?.ondemand || !awake || this.#cancelIdle) return;
    this.#lastClient = this.#machine.now();
    const look = (): void => {
      this.#cancelIdle = undefined;
      const socket = this.#socket;
      if (!socket || !this.#lasting().some(({ state }) => state.phase === "running")) return;
      if (socket.observe().touched || socket.busy() || this.#lasting().some((one) => one.serves() !== false)) {
        this.#lastClient = this.#machine.now();
        this.#markClients();
      } else if (this.#machine.now() - this.#lastClient >= definition.idleTimeout) {
        this.feed({ type: "idle" });
        return;
      }
      again();
    };
    const again = () => {
      this.#cancelIdle = this.#machine.after(Math.max(definition.idleTimeout / IDLE_LOOKS, ROLLOUT_LOOK), look);
    };
    again();
  }

  /** Takes a rolling restart as far as it goes at this moment. */
  #advance(): void {
    const { terms } = this;
    if (!this.#rollout || !terms) return;
    this.#cancelLook?.();
    const { pair } = this.#rollout.plan;
    const fresh = pair && this.#instances.get(pair.fresh);
    if (fresh && fresh.state.phase === "running" && !fresh.reached) fresh.reached = fresh.serves() === true;
    const standing = (number: number) => this.#instances.get(number);
    const move = nextMove(this.#rollout.plan, standing, terms.definition, this.#machine.now());
    switch (move.move) {
      case "wait":
        this.#cancelLook = this.#machine.after(ROLLOUT_LOOK, () => this.#advance());
        return;
      case "begin": {
        const instance = this.#add();
        this.#rollout.plan = paired(this.#rollout.plan, instance.key.instance);
        instance.feed({ type: "start" });
        instance.feed({ type: "connection" });
        return;
      }
      case "retire": {
        const old = this.#instances.get(move.old);
        if (old) this.#dismiss(old, "retire");
        this.#advance();
        return;
      }
      case "pass":
        this.#rollout.plan = passed(this.#rollout.plan);
        this.#advance();
        return;
      case "back":
        this.#rollBack(move.fresh, move.reason);
        return;
      case "done":
        this.#conclude({ ok: true });
        this.#even();
    }
  }

  #rollBack(number: number, reason: string): void {
    const { plan, former } = this.#rollout ?? {};
    const fresh = this.#instances.get(number);
    const ran = fresh?.state.last !== undefined && fresh.state.last.exit.how !== "launch";
    if (plan?.replaced === 0) this.terms = former;
    this.#conclude({ ok: false, reason, ran });
    if (!fresh) return;
    this.#witness(this, fresh, "rollback", fresh.state, fresh.state, reason);
    this.#dismiss(fresh, "retire");
  }

  /** Ends a rolling restart before its end: who waits for it is told why. */
  #abandon(reason: string): void {
    const { pair } = this.#rollout?.plan ?? {};
    this.#conclude({ ok: false, reason, ran: false });
    const fresh = pair && this.#instances.get(pair.fresh);
    const old = pair && this.#instances.get(pair.old);
    if (fresh && old && old.state.want === "up") this.#dismiss(fresh, "stop");
  }

  #conclude(ending: Ending): void {
    const resolve = this.#rollout?.resolve ?? [];
    this.#rollout = undefined;
    this.#cancelLook?.();
    for (const each of resolve) each(ending);
  }

  #markClients(): void {
    const socket = this.#socket;
    if (!socket) return;
    for (const instance of this.instances()) if (alive(instance.state)) instance.noteClients();
    socket.mark();
    for (const instance of this.instances()) instance.observeClients();
  }

  #openAll(terms: Terms, stage: (name: string) => void): Common {
    stage("publishing its socket");
    this.#openPlaces(terms);
    stage("opening its log");
    if (terms.definition.output !== "discard") this.#openLog(terms);
    return { socket: this.#socket, binding: this.#binding, log: this.#log };
  }

  /** Holds the socket that the terms name, or none. */
  #openPlaces(terms: Terms): void {
    const { listen } = terms.definition;
    if (this.#socket && !this.#socket.intact()) {
      for (const { key } of this.instances()) this.#machine.discard(key);
      this.#closePlaces();
    }
    if (!isHeld(listen)) this.#closeSocket();
    if (listen !== "path") this.#closeBinding();
    if (isHeld(listen) && !this.#socket) {
      this.#socket = this.#machine.openSocket(this.key, terms.nginxGroup, listen === "fastcgi" ? 0 : 3);
      this.#open = undefined;
    }
    if (listen === "path") this.#binding ??= this.#machine.openBinding(this.key, terms.nginxGroup, terms.account);
  }

  #openLog(terms: Terms): void {
    if (this.#log && this.#logOf && !sameLog(this.#logOf, terms)) void this.#closeLog();
    this.#logOf = terms;
    if (terms.definition.output === "log/run") {
      if (this.#log) return;
      const { definition, account } = terms;
      const { privileged, tools } = this.#machine;
      const launch = { definition, owner: this.key.owner, account, privileged, tools };
      const nothing = { socketPath: undefined, notifyPath: undefined };
      this.#log = this.#machine.openServiceLog(this.key, account, (cgroup) =>
        launchServiceLogger({ ...launch, ...nothing, cgroup }),
      );
      return;
    }
    const { definition, logDirectory } = terms;
    const { size, files } = withinShare(
      { size: definition.logSize, files: definition.logFiles },
      this.household.logShare(),
    );
    const bounds = { ...definition, logSize: size, logFiles: files };
    const logger = launchLogger(logDirectory, this.key.owner, bounds, this.#machine.privileged);
    if (this.#log) this.#log.follow(logger);
    else this.#log = this.#machine.openLog(this.key, terms.account, logger, logDirectory);
  }
  #logOf: Terms | undefined;

  async #closeLog(): Promise<void> {
    const log = this.#log;
    if (!log) return;
    // What stands by has the log's FIFO open, and would write where nobody reads.
    for (const { key } of this.instances()) this.#machine.discard(key);
    this.#log = undefined;
    await log.close();
    this.#loss = { lines: log.loss().lines, reason: "" };
  }

  #closePlaces(): void {
    this.#closeSocket();
    this.#closeBinding();
  }
  #closeSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#awaiting = false;
  }
  #closeBinding(): void {
    this.#binding?.close();
    this.#binding = undefined;
  }

  #answer(): void {
    this.#waiters = this.#waiters.filter(({ wish, since, resolve }) => {
      const verdicts = this.#lasting().map(
        (one) => [one, verdict(one.state, wish, since.get(one.key.instance) ?? 0)] as const,
      );
      for (const [{ key, state, waiting }, said] of verdicts) {
        if (wish === "up" && waiting && state.run > (since.get(key.instance) ?? 0)) {
          resolve({ ok: false, reason: waiting, ran: false });
          return false;
        }
        if (said === "pending" || said.ok) continue;
        const { last } = state;
        const ran = last !== undefined && last.run > (since.get(key.instance) ?? 0) && last.exit.how !== "launch";
        resolve({ ok: false, reason: said.reason, ran });
        return false;
      }
      if (verdicts.some(([, said]) => said === "pending")) return true;
      if (wish === "down" && this.instances().some(({ state }) => alive(state))) return true;
      resolve({ ok: true });
      return false;
    });
  }
}

const sameLog = (a: Terms, b: Terms): boolean =>
  a.account.uid === b.account.uid && a.logDirectory === b.logDirectory && a.definition.output === b.definition.output;

/** Whether nothing happens until somebody asks for it. */
const isResting = (state: State): boolean => !alive(state) && state.phase !== "coolingdown" && state.phase !== "asleep";

/** Whether runs of both can be there at a time. */
const isCompatible = (a: Terms, b: Terms): boolean =>
  b.definition.listen !== "none" && a.definition.listen === b.definition.listen && sameLog(a, b);

/** Whether two definitions say the same. */
const sameDefinition = (a: Definition, b: Definition): boolean => {
  const plain = (definition: Definition) => JSON.stringify({ ...definition, environment: [...definition.environment] });
  return plain(a) === plain(b);
};

const anyAlive = (records: ReadonlyMap<number, InstanceRecord>): boolean =>
  [...records.values()].some(({ state }) => alive(state));
