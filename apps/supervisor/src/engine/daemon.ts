/** One daemon: its instances, how many there are, and what becomes of all of them together. */
import { type Allotment, ATTENDANTS, allot, allowanceOf, type Crowd, widened } from "../core/allowance.ts";
import { budgetAllowance } from "../core/budget.ts";
import type { DaemonKey } from "../core/daemon-key.ts";
import { type Definition, isHeld } from "../core/definition.ts";
import { enforcement, type Held as Limit, type Means } from "../core/enforcement.ts";
import { alive, type Event, isExpected, type State } from "../core/lifecycle.ts";
import { type AccountBase, groupIds } from "../core/policy-rules.ts";
import type { HostStanding } from "../core/site.ts";
import type { Terms } from "../core/terms.ts";
import { Idleness } from "./idle-timer.ts";
import { type Common, type Host, Instance, type OwnerContext, rlimited } from "./instance.ts";
import type { FoundFile, InstanceRecord, LogLoss, Machine } from "./ports/machine.ts";
import { RollingRestart } from "./rolling-restart.ts";
import { SharedResources, sameLog } from "./shared-resources.ts";
import { type Ending, type Runs, Waiters } from "./waiters.ts";

/** Tells what became of each step; main.ts makes it the supervisor's log. */
export type TransitionListener = (
  daemon: Daemon,
  instance: Instance,
  event: Event["type"] | "rollback",
  before: State,
  after: State,
  reason?: string,
) => void;

/** The instance that speaks for its daemon is the first in this order. */
const PHASES_BY_RANK: readonly State["phase"][] = [
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
  /** How many it had under an earlier supervisor, until it begins anew. */
  #former: number | undefined;
  readonly ownerContext: OwnerContext;
  readonly #machine: Machine;
  readonly #onTransition: TransitionListener;
  readonly #instances = new Map<number, Instance>();
  readonly #host: Host;
  readonly #shared: SharedResources;
  readonly #idleness: Idleness;
  readonly #waiters = new Waiters();
  #rollout: RollingRestart | undefined;
  #oomKilled = 0;

  constructor(
    key: DaemonKey,
    file: FoundFile,
    machine: Machine,
    onTransition: TransitionListener,
    ownerContext: OwnerContext,
  ) {
    this.#key = key;
    this.id = `${key.owner.name}/${key.name}`;
    this.file = file;
    this.#machine = machine;
    this.#onTransition = onTransition;
    this.ownerContext = ownerContext;
    const daemon = this;
    this.#host = {
      open: (terms, stage) => this.#shared.open(terms, stage),
      markClients: (beginner) => this.#markClients(beginner),
      hasCompany: (one) => this.instances().some((other) => other !== one && alive(other.state)),
      stepped: (instance, event, before, after) => this.#stepped(instance, event, before, after),
      waits: () => this.#answer(),
      get scale() {
        return daemon.#scale;
      },
      get size() {
        return daemon.size;
      },
      ownerContext,
      allotment: (terms) => this.#allotment(terms.definition),
    };
    this.#shared = new SharedResources(machine, {
      get key() {
        return daemon.key;
      },
      logShare: () => ownerContext.logShare(),
      limited: (terms) => rlimited(terms, daemon.key.owner, ownerContext, machine),
      discard: () => {
        for (const instance of this.instances()) machine.discard(instance.key);
      },
    });
    this.#idleness = new Idleness(machine, {
      timeout: () => this.#idleTimeout(),
      busy: () => this.#isBusy(),
      idle: () => this.feed({ type: "idle" }),
    });
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
  #active(): readonly Instance[] {
    return this.instances().filter(({ retiring }) => !retiring);
  }
  /** The instance that speaks for it: the first of those that are best off. */
  get representative(): Instance {
    const all = [...this.#active(), ...this.instances()];
    for (const phase of PHASES_BY_RANK) {
      const found = all.find(({ state }) => state.phase === phase);
      if (found) return found;
    }
    return all[0] as Instance;
  }
  get state(): State {
    return this.representative.state;
  }
  /** Whether its file says something else by now than what a run of it was made of. */
  get changed(): boolean {
    return this.#active().some(
      ({ state, terms }) =>
        alive(state) &&
        terms !== undefined &&
        (terms.fingerprint !== this.file.fingerprint || this.limits.some(({ pending }) => pending)),
    );
  }
  get pid(): number {
    return this.representative.pid;
  }
  /** What its launch waits for, in words; "" where it does not. */
  get waiting(): string {
    return this.#active().find(({ waiting }) => waiting !== "")?.waiting ?? "";
  }
  get socketPath(): string {
    return this.#shared.path;
  }
  /** Directory of its log's files, wherever it has one. */
  get logDirectory(): string | undefined {
    return this.terms?.logDirectory;
  }
  /** What of its output was not logged. */
  get logLoss(): LogLoss {
    return this.#shared.loss;
  }
  /** Runs of it that were ended for want of memory. */
  get oomKilled(): number {
    return this.#oomKilled;
  }
  /** Whether a restart is replacing its instances at present. */
  get rolling(): boolean {
    return this.#rollout !== undefined;
  }
  /** What serves at present is made of these: of what there was before, as long as a restart may still go back to that. */
  get serving(): Terms | undefined {
    return this.#rollout && !this.#rollout.isServing ? this.#rollout.former : this.terms;
  }
  /** How many instances it is to have. */
  get size(): number {
    return this.#scale ?? this.#former ?? this.terms?.definition.instances ?? 1;
  }

  /** Who holds it to its limits, and its owner's. */
  get limits(): readonly Limit[] {
    const { terms } = this;
    if (!terms) return [];
    const launched = this.instances().find((one) => one.launched)?.launched;
    const budget = budgetAllowance(this.ownerContext.budget);
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
    return allot(budgetAllowance(this.ownerContext.budget), definition, this.#crowd(definition));
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
    const changed = (terms: Terms): Terms => {
      const limited = { ...terms.definition, ...allowanceOf(definition) };
      return { ...terms, definition: limited, ...(sameDefinition(limited, definition) && { fingerprint }) };
    };
    this.terms &&= changed(this.terms);
    this.#rollout?.relimit(changed);
    for (const instance of this.instances()) instance.terms &&= changed(instance.terms);
    this.allot();
  }

  /** Gives an event to every instance that is to stay. */
  feed(event: Exclude<Event, { run: number }>): void {
    if (event.type === "stop") {
      this.#scale = undefined;
      this.#former = undefined;
      this.#abandon("it was asked to stop meanwhile");
      for (const instance of this.instances()) instance.feed(event);
      this.#fit();
      return;
    }
    const begins = event.type === "start" || event.type === "once";
    // A restart that is under way has one more than there are to be.
    if (begins && !this.rolling) this.#fit();
    for (const instance of this.#active()) instance.feed(event);
  }

  /** The latest run of each instance, for `outcome`. */
  runs(): Runs {
    return new Map(this.instances().map(({ key, state }) => [key.instance, state.run]));
  }

  /** Resolves when what was asked for has come about, or cannot. `since`: the runs there were before it was asked. */
  outcome(wish: "up" | "down", since: Runs): Promise<Ending> {
    const ending = this.#waiters.wait(wish, since);
    this.#answer();
    return ending;
  }

  /**
   * Says what the next runs are to be made of. While none lives, what they need is opened at once; a daemon for which that
   * cannot be done is blocked, and false returned.
   */
  offer(terms: Terms): boolean {
    this.terms = terms;
    if (alive(this.state)) {
      // What is ending has no more use for what it was made of.
      if (this.state.phase === "stopping") for (const instance of this.#active()) instance.terms = terms;
      return true;
    }
    for (const instance of this.instances()) instance.terms = terms;
    this.#former = undefined;
    try {
      this.#shared.openPlaces(terms);
      this.#fit();
      this.#publish();
    } catch (error) {
      const reason = `publishing its socket: ${error instanceof Error ? error.message : String(error)}`;
      this.feed({ type: "block", block: { kind: "invalid", reason } });
      return false;
    }
    // Nobody would wake it any more.
    if (this.state.phase === "asleep" && !terms.definition.ondemand) this.feed({ type: "start" });
    return true;
  }

  /** Ends its runs and begins others, of what was offered last: one by one where it listens, unless its file says no. */
  restart(former: Terms | undefined): Promise<Ending> {
    const { terms } = this;
    const running = this.#active().filter(({ state, fresh }) => alive(state) && state.want === "up" && !fresh);
    if (terms && running.length > 0 && former && mayRoll(terms) && isCompatible(former, terms)) {
      return this.#roll(terms, former, running);
    }
    this.#abandon("it was asked to restart meanwhile");
    const since = this.runs();
    this.#former = undefined;
    for (const instance of this.#active()) if (terms) instance.terms = terms;
    this.#fit();
    for (const instance of this.#active()) instance.feed({ type: "restart" });
    return this.outcome("up", since);
  }

  #roll(terms: Terms, former: Terms, running: readonly Instance[]): Promise<Ending> {
    const earlier = this.#rollout;
    earlier?.halt();
    for (const instance of this.#active()) {
      if (running.includes(instance)) continue;
      instance.terms = terms;
      instance.feed({ type: "restart" });
    }
    return new Promise((resolve) => {
      const restart = {
        terms,
        // What an earlier one has not replaced is still made of what was there before that.
        former: earlier && !earlier.hasReplaced ? earlier.former : former,
        waiting: [...(earlier?.waiting ?? []), resolve],
      };
      const queue = running.map(({ key }) => key.instance);
      const rollout = new RollingRestart(restart, queue, this.#machine, {
        instance: (number) => this.#instances.get(number),
        begin: (present) => {
          const fresh = this.#add();
          fresh.terms = present;
          fresh.fresh = true;
          return fresh;
        },
        dismiss: (instance, how) => this.#dismiss(instance, how),
        back: (fresh, reason) => this.#rollBack(rollout, fresh, reason),
        done: () => this.#rolled(rollout),
      });
      this.#rollout = rollout;
      rollout.advance();
    });
  }

  #rollBack(rollout: RollingRestart, fresh: Instance | undefined, reason: string): void {
    this.#rollout = undefined;
    if (!rollout.hasReplaced) this.terms = rollout.former;
    const ran = fresh?.state.last !== undefined && fresh.state.last.exit.how !== "launch";
    for (const resolve of rollout.waiting) resolve({ ok: false, reason, ran });
    if (!fresh) return;
    this.#onTransition(this, fresh, "rollback", fresh.state, fresh.state, reason);
    this.#dismiss(fresh, "drain");
    for (const instance of this.#active()) instance.publishAgain();
  }

  #rolled({ waiting }: RollingRestart): void {
    this.#rollout = undefined;
    this.#former = undefined;
    const since = this.runs();
    this.#even();
    void this.outcome("up", since).then((ending) => {
      for (const resolve of waiting) resolve(ending);
    });
  }

  /** Ends a rolling restart before its end: who waits for it is told why. */
  #abandon(reason: string): void {
    const rollout = this.#rollout;
    this.#rollout = undefined;
    rollout?.halt();
    for (const resolve of rollout?.waiting ?? []) resolve({ ok: false, reason, ran: false });
  }

  /** Changes the number of its instances: the highest numbers go, others come. Resolves when it is so. */
  scale(size: number): Promise<Ending> {
    const since = this.runs();
    const { want } = this.state;
    this.#scale = size;
    this.#even();
    for (const instance of this.#active()) instance.remember();
    return this.outcome(want, since);
  }

  /**
   * Goes on from where an earlier supervisor left: with its runs, as far as they still live. False when it left nothing.
   * @param terms what its file says now, if it may run
   */
  resume(terms: Terms | undefined): boolean {
    const records = this.#machine.recall(this.key);
    const [first] = records.values();
    if (!first) return false;
    this.terms = terms;
    this.#scale = first.scale;
    this.#former = first.size;
    this.#shared.resumeLoss(first.dropped ?? 0);
    // A record is written again only when its run has been taken up: it is by the record that the run is found.
    let common: Common = { socket: undefined, binding: undefined, log: undefined };
    try {
      if (terms && anyAlive(records)) common = this.#shared.open(terms, () => undefined, allStay(records));
      else if (terms) this.#shared.openPlaces(terms);
    } catch {
      // What cannot be opened now is tried, and told, again at its next start.
    }
    for (const instance of this.instances()) this.#instances.delete(instance.key.instance);
    for (const [number, record] of records) {
      const instance = this.#add(number);
      instance.retiring = record.role === "retiring";
      instance.fresh = record.role === "fresh";
      instance.resume(record, common);
    }
    this.#sortOut();
    const isFound = this.#active().length > 0;
    if (!isFound) this.#add();
    if (terms && common.socket?.fresh) this.#relieve(terms);
    for (const instance of this.#active()) instance.publishAgain();
    this.#even();
    this.#narrow();
    this.#publish();
    return isFound;
  }

  /** After an earlier supervisor's end in the middle of a change: what was to go goes, what was not serving too. */
  #sortOut(): void {
    for (const instance of this.instances()) {
      if (instance.retiring) this.#forgetEnded(instance);
      else if (instance.fresh && this.#active().length > this.size) this.#dismiss(instance, "drain");
      else if (instance.fresh) instance.prove();
    }
  }

  /**
   * Its runs listen on a socket that clients no longer find: others take their place, and they finish what they are at. The
   * others begin first: who comes must find the new socket open at every moment.
   */
  #relieve(terms: Terms): void {
    const cutOff = this.#active().filter(({ state }) => serves(state) && !stays(state));
    if (!mayRoll(terms)) {
      for (const instance of cutOff) instance.feed({ type: "restart" });
      return;
    }
    for (const instance of cutOff) instance.retiring = true;
    for (const instance of this.#fit()) instance.feed({ type: "start" });
    for (const instance of cutOff) this.#dismiss(instance, "drain");
  }

  /** Sends a signal to the main process of each instance; false when there is none. */
  signal(signal: number): boolean {
    return this.instances().filter((instance) => instance.signal(signal)).length > 0;
  }

  /** Gives up what it holds. It must have stopped. */
  async close(): Promise<void> {
    this.#abandon("it is dropped");
    this.#idleness.end();
    for (const instance of this.instances()) instance.close();
    this.#shared.closePlaces();
    await this.#shared.closeLog();
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

  /** Makes the number of its instances what it is to be: what is too many ends, what is missing comes, and is not yet begun. */
  #fit(): readonly Instance[] {
    const active = this.#active();
    for (const instance of active.slice(this.size)) this.#dismiss(instance, "drain");
    const added: Instance[] = [];
    while (active.length + added.length < this.size) {
      const instance = this.#add();
      const { block } = active[0]?.state ?? {};
      if (block) instance.feed({ type: "block", block });
      added.push(instance);
    }
    return added;
  }

  /** The same, and begins what comes if the others are wanted up. */
  #even(): void {
    const { want } = this.state;
    const added = this.#fit();
    if (want === "up") for (const instance of added) instance.feed({ type: "start" });
  }

  #dismiss(instance: Instance, how: "drain" | "stop"): void {
    instance.retiring = true;
    instance.feed({ type: how });
    instance.remember();
    this.#forgetEnded(instance);
  }

  #forgetEnded(instance: Instance): void {
    if (alive(instance.state) || !this.#instances.delete(instance.key.instance)) return;
    instance.close();
  }

  #stepped(instance: Instance, event: Event["type"], before: State, after: State): void {
    if (alive(before) && !alive(after)) this.#reopen();
    this.#onTransition(this, instance, event, before, after);
    if (event === "exited" && after.last !== before.last && after.last?.exit.how === "memory") this.#oomKilled += 1;
    if (before.phase !== after.phase && after.phase === "running") this.#shared.socket?.widen();
    if (instance.retiring) this.#forgetEnded(instance);
    if (alive(before) && !alive(after)) this.#narrow();
    this.#publish();
    this.#idleness.watch();
    if (this.instances().every(({ state, pid }) => isResting(state) && pid === 0)) void this.#shared.closeLog();
    this.#answer();
    this.#rollout?.advance();
  }

  /** A run that had kept its socket to itself has ended: who comes from now on is to be turned away, or to wait. */
  #reopen(): void {
    if (!this.terms || !isHeld(this.terms.definition.listen) || alive(this.state) || this.#shared.socket) return;
    try {
      this.#shared.openPlaces(this.terms);
    } catch {
      // The next start meets the same trouble, and tells it.
    }
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
    const isOpen = this.instances().some(({ state }) => isExpected(state, now));
    this.#shared.admit(isOpen);
    if (!isOpen && !alive(this.state)) this.#shared.dismiss();
    if (!this.#active().some(({ state }) => state.phase === "asleep")) return;
    this.#shared.awaitClient(() => {
      this.feed({ type: "connection" });
      this.#publish();
    });
  }

  #idleTimeout(): number | undefined {
    const { definition } = this.terms ?? {};
    const isAwake = this.#active().some(({ state }) => state.phase === "running");
    return definition?.ondemand && this.#shared.socket && isAwake ? definition.idleTimeout : undefined;
  }

  #isBusy(): boolean | undefined {
    const isVisited = this.rolling || this.#shared.socket?.observe().touched;
    const signs = isVisited ? [true] : this.#active().map((one) => one.serves());
    if (signs.includes(true)) this.#markClients();
    return signs.includes(true) || (signs.includes(undefined) ? undefined : false);
  }

  /** @param beginner who has had no client, for its run is only about to begin */
  #markClients(beginner?: Instance): void {
    const { socket } = this.#shared;
    if (!socket) return;
    for (const instance of this.instances()) {
      if (instance !== beginner && alive(instance.state)) instance.noteClients();
    }
    socket.mark();
    for (const instance of this.instances()) instance.observeClients();
  }

  #answer(): void {
    this.#waiters.answer(this.instances());
  }
}

/** Whether nothing happens until somebody asks for it. */
const isResting = (state: State): boolean => !alive(state) && state.phase !== "coolingdown" && state.phase !== "asleep";

/** Whether runs of both can be there at a time. */
const isCompatible = (a: Terms, b: Terms): boolean =>
  b.definition.listen !== "none" && a.definition.listen === b.definition.listen && sameLog(a, b);

/** Whether new runs may begin beside the old: with a lock the new would wait for the old, and the old for the new. */
const mayRoll = ({ definition }: Terms): boolean => definition.rolling && definition.lock === undefined;

/** Whether two definitions say the same. */
const sameDefinition = (a: Definition, b: Definition): boolean => {
  const plain = (definition: Definition) => JSON.stringify({ ...definition, environment: [...definition.environment] });
  return plain(a) === plain(b);
};

const anyAlive = (records: ReadonlyMap<number, InstanceRecord>): boolean =>
  [...records.values()].some(({ state }) => alive(state));

const serves = ({ phase }: State): boolean => phase === "starting" || phase === "running";

/** Whether no other run may take its place: it is to be the last, or to stay as it is. */
const stays = ({ once, paused }: State): boolean => once || paused;

const allStay = (records: ReadonlyMap<number, InstanceRecord>): boolean => {
  const serving = [...records.values()].map(({ state }) => state).filter(serves);
  return serving.length > 0 && serving.every(stays);
};
