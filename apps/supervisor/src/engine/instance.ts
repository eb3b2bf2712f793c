/** One instance of a daemon: feeds events to the table of core/lifecycle.ts, performs its effects, keeps its one timer. */
import { type Allotment, type Allowance, ATTENDANTS, allowanceOf, least, withRlimits } from "../core/allowance.ts";
import { type Budget, budgetAllowance } from "../core/budget.ts";
import type { InstanceKey } from "../core/daemon-key.ts";
import { DEFAULTS, type Definition, isHeld } from "../core/definition.ts";
import { type SocketEvidence, tookConnection } from "../core/evidence.ts";
import { alive, type Effect, type Event, type Exit, initial, SETTLE, type State, step } from "../core/lifecycle.ts";
import type { Account } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";
import {
  type Launch,
  type LaunchPlan,
  launchDaemon,
  launchFinish,
  PERMANENT_FAILURE,
  readExit,
} from "../launch/plan.ts";
import type {
  BindingPlace,
  Finish,
  Held,
  HeldLog,
  HeldSocket,
  InstanceRecord,
  LiveRun,
  Machine,
  RunNews,
  RunUsage,
} from "./ports/machine.ts";

/** What the instances of a daemon have in common. */
export interface Common {
  readonly socket: HeldSocket | undefined;
  readonly binding: BindingPlace | undefined;
  readonly log: HeldLog | undefined;
}

/** What an instance needs of its daemon. */
export interface Host {
  /**
   * Opens what a run of these terms needs. `stage` is told what is being done.
   * @throws errno errors
   */
  open(terms: Terms, stage: (name: string) => void): Common;
  /** Another run, of this instance, is about to begin: whoever came until now did not come to it. */
  markClients(beginner: Instance): void;
  /** Whether others share its socket at present. */
  hasCompany(instance: Instance): boolean;
  /** Called after each step. */
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void;
  /** Called when a launch waits for something, or goes on. */
  waits(): void;
  readonly scale: number | undefined;
  readonly size: number;
  readonly ownerContext: OwnerContext;
  /** What its daemon may use, with the runs that live at present. */
  allotment(terms: Terms): Allotment;
}

/** What the daemons of an owner have in common. */
export interface OwnerContext {
  readonly budget: Budget;
  /** When the next restart may come: `now`, or later. In ms. */
  earliest(now: number): number;
  /** A restart came. */
  restarted(): void;
  /** Bytes that each of their logs may have; undefined is without limit. */
  logShare(): number | undefined;
}

const SIGTERM = 15;
const SIGSTOP = 19;
const SIGCONT = 18;
/** How long a look for the socket that a process binds itself is put off, the next time twice as long. In ms. */
const FIRST_LOOK = 10;
const SLOWEST_LOOK = 500;
/** How long it takes from one look at what is in the directory of its socket to the next. In ms. */
const ROUND = 1000;
/** Instances of one daemon that have a launch standing by: where more share a socket, the others serve until the next comes. */
const MOST_STANDING_BY = 4;

/** Where a run binds its own socket, if it is to. */
const boundBy = (run: number, { binding }: Common) => binding && { place: binding, run };

/** Processes of its account that are there for a daemon, and are not its own: the logger, and launches that stand by. */
const overhead = ({ definition, account }: Terms, owner: Account): number => {
  const ours = definition.output === "log" && account.uid === owner.uid ? 1 : 0;
  const logger = definition.output === "log/run" ? ATTENDANTS : ours;
  return logger + (isHeld(definition.listen) ? definition.instances : 0);
};

/** What its file says, with the rlimits that this machine needs in place of cgroups: for all that is a tenant's program. */
export const rlimited = (
  terms: Terms,
  owner: Account,
  { budget }: Pick<OwnerContext, "budget">,
  { means }: Pick<Machine, "means">,
): Definition => withRlimits(terms.definition, budgetAllowance(budget), means.controllers, overhead(terms, owner));

type Perform = { readonly [T in Effect["type"]]: (effect: Extract<Effect, { type: T }>) => void };

export class Instance {
  key: InstanceKey;
  /** What its present run is made of; what the next will be, unless others were given. */
  terms: Terms | undefined;
  /** Whether it is to be dropped when it has ended. */
  retiring = false;
  /** Whether it is to replace another that is still there, and has not shown that it can. */
  fresh = false;
  /** See core/rollout.ts: Standing. */
  reached = false;
  /** Since when, by the machine's clock, no process of it has lived, or it has been known without one. */
  downSince: number;
  readonly #machine: Machine;
  readonly #host: Host;
  #state: State;
  #cancelTimer: (() => void) | undefined;
  #run: LiveRun | undefined;
  #common: Common | undefined;
  #before: SocketEvidence | undefined;
  #served = false;
  /** What the latest launch waits for, in words; undefined where it has not waited. */
  #waiting: string | undefined;
  #launched: Allowance | undefined;
  /** Why the supervisor ends it. */
  #overdraft: Extract<Exit, { how: "memory" | "files" }> | undefined;

  /** @param firstRun number of its first run less one: no other of the daemon's runs that live has a higher one */
  constructor(key: InstanceKey, terms: Terms | undefined, firstRun: number, machine: Machine, host: Host) {
    this.key = key;
    this.terms = terms;
    this.#state = { ...initial, run: firstRun };
    this.#machine = machine;
    this.#host = host;
    this.downSince = machine.now();
  }

  get state(): State {
    return this.#state;
  }
  get pid(): number {
    return this.#run?.pid ?? 0;
  }
  /** What its launch waits for, in words; "" where it does not. */
  get waiting(): string {
    return (this.#state.phase === "starting" && this.#waiting) || "";
  }

  /** The limits that its present run began with; undefined where none lives, or an earlier supervisor began it. */
  get launched(): Allowance | undefined {
    return alive(this.#state) ? this.#launched : undefined;
  }
  /** What its run uses of the machine; undefined where none lives. */
  usage(): RunUsage | undefined {
    return this.#run?.usage();
  }

  /** Ends its run, because more memory is taken than `limit`. Both in bytes. */
  exceed(limit: number, size: number): void {
    this.#endFor({ how: "memory", limit, peak: size });
  }
  #endFor(exit: Extract<Exit, { how: "memory" | "files" }>): void {
    if (!this.#run || this.#overdraft) return;
    this.#overdraft = exit;
    this.#run.kill();
  }

  /** Sees to it, for as long as the run lives, that it leaves room to others in the directory where it binds its socket. */
  async #guard(run: number, place: BindingPlace): Promise<void> {
    const isOver = (): boolean => !this.#run || this.#state.run !== run || this.#overdraft !== undefined;
    const held = isOver() ? undefined : await place.excess(run);
    if (isOver()) return;
    if (held !== undefined) this.#endFor({ how: "files", held });
    else this.#machine.after(ROUND, () => void this.#guard(run, place));
  }

  /** Prepares the next launch anew, for what it is made of has changed. */
  refresh(): void {
    this.#machine.discard(this.key);
    if (this.#state.phase === "running") this.#prepare(this.#state.run + 1);
  }

  /** One event, and its effects. */
  feed(event: Event): void {
    const before = this.#state;
    const now = this.#machine.now();
    const { state, effects } = step(before, event, {
      now,
      random: this.#machine.random(),
      earliest: this.#host.ownerContext.earliest(now),
      rules: this.terms?.definition ?? DEFAULTS,
    });
    if (state === before) return;
    if (state.respawns > before.respawns) this.#host.ownerContext.restarted();
    this.#become(state);
    // What is to be done comes before what is to be written: clients may be waiting.
    for (const effect of effects) (this.#perform[effect.type] as (effect: Effect) => void)(effect);
    // The next supervisor takes whoever lives for launched.
    if (event.type !== "launched" || event.waited) this.remember();
    this.#host.stepped(this, event.type, before, state);
  }

  /** Takes account of the clients that came so far; from now on others count. */
  noteClients(): void {
    this.#served ||= this.#hasServed();
    this.#before = undefined;
  }
  /** What its socket looks like at the beginning. */
  observeClients(): void {
    if (alive(this.#state)) this.#before = this.#common?.socket?.observe();
  }
  #hasServed(): boolean {
    const { socket } = this.#common ?? {};
    return socket !== undefined && (!this.#before || tookConnection(this.#before, socket.observe()));
  }

  /** Goes on from where an earlier supervisor left. */
  resume(record: InstanceRecord, common: Common): void {
    this.#common = common;
    if (alive(record.state)) {
      const binding = boundBy(record.state.run, common);
      const held = { socket: common.socket, binding, finish: this.#finish(this.terms) };
      this.#run = this.#machine.adopt(this.key, record, held, this.#news(record.state.run));
      if (this.terms) this.terms = { ...this.terms, fingerprint: record.fingerprint };
    }
    this.#become(record.state);
    this.remember();
    if (record.state.draining) this.#run?.drain();
    if (common.binding) void this.#guard(record.state.run, common.binding);
    if (!this.#run || record.state.phase !== "starting") return;
    // One that may be waiting for its lock can no longer tell when it has it.
    if (this.terms?.definition.lock !== undefined && record.state.want === "up") {
      this.feed({ type: "restart" });
      if (record.state.once) this.feed({ type: "once" });
      return;
    }
    // The descriptor that it might have told it on has gone with its supervisor.
    this.feed({ type: "launched", run: record.state.run });
    this.feed({ type: "ready", run: record.state.run });
  }

  /** Sends a signal to the main process; false when there is none. */
  signal(signal: number): boolean {
    this.#run?.signal(signal);
    return this.#run !== undefined;
  }

  /** Whether it has a client's connection in hand at this moment; undefined where that takes too long to find out. */
  serves(): boolean | undefined {
    return this.#run ? this.#run.serves() : false;
  }

  /** Gives up what it holds, and leaves no record. It must have stopped. */
  close(): void {
    this.#cancelTimer?.();
    this.#machine.discard(this.key);
    this.#machine.forget(this.key);
  }

  /** It has shown that it can replace the other. */
  prove(): void {
    this.fresh = false;
    this.remember();
  }

  /** Leaves what the next supervisor needs to know. */
  remember(): void {
    const { scale, size } = this.#host;
    const fingerprint = this.terms?.fingerprint ?? "";
    const role = this.retiring ? "retiring" : this.fresh ? "fresh" : "active";
    this.#machine.remember(this.key, { state: this.#state, fingerprint, scale, size, role });
  }

  readonly #perform: Perform = {
    spawn: ({ run }) => this.#spawn(run),
    prepare: ({ run }) => this.#prepare(run),
    discard: () => this.#machine.discard(this.key),
    drain: () => this.#run?.drain(),
    pause: () => this.#run?.signalAll(SIGSTOP),
    continue: () => this.#run?.signalAll(SIGCONT),
    terminate: () => this.#run?.signalAll(SIGTERM),
    kill: () => this.#run?.kill(),
  };

  #become(state: State): void {
    const { deadline } = state;
    if (deadline !== this.#state.deadline || this.#cancelTimer === undefined) {
      this.#cancelTimer?.();
      this.#cancelTimer =
        deadline === undefined
          ? undefined
          : this.#machine.after(Math.max(0, deadline - this.#machine.now()), () => this.feed({ type: "deadline" }));
    }
    if (alive(this.#state) && !alive(state)) this.downSince = this.#machine.now();
    this.#state = state;
  }

  #spawn(run: number): void {
    this.#waiting = undefined;
    this.#overdraft = undefined;
    this.#launched = this.terms && allowanceOf(this.terms.definition);
    let stage = "making its process";
    try {
      const { terms } = this;
      if (!terms) throw new Error("it has no valid file");
      const common = this.#host.open(terms, (name) => {
        stage = name;
      });
      this.#common = common;
      stage = "making its cgroup";
      const { plan, held } = this.#plan(terms, common, run);
      stage = "making its process";
      this.#before = undefined;
      this.#host.markClients(this);
      this.#served = false;
      this.reached = false;
      this.#run = this.#machine.launch(this.key, plan, held, this.#news(run));
    } catch (error) {
      this.#failLaunch(run, stage, error instanceof Error ? error.message : String(error));
    }
  }

  #plan(terms: Terms, common: Common, run: number): { plan: LaunchPlan; held: Held } {
    const { account } = terms;
    const cgroup = this.#machine.makeGroup(this.key, run, this.#host.allotment(terms));
    const definition = rlimited(terms, this.key.owner, this.#host.ownerContext, this.#machine);
    const plan = launchDaemon({
      ...this.#launch(terms, cgroup),
      definition,
      socketPath: common.binding?.provide(run),
      notifyPath: definition.ready === "notify" ? this.#machine.notifyPath(this.key) : undefined,
    });
    const held = {
      socket: common.socket,
      binding: boundBy(run, common),
      input: definition.listen === "fastcgi" ? ("socket" as const) : ("nothing" as const),
      ready: definition.ready,
      account,
      log: definition.output === "discard" ? undefined : common.log,
      cgroup,
      finish: this.#finish(terms),
    };
    return { plan, held };
  }

  #launch({ definition, account }: Terms, cgroup: string | undefined): Launch {
    const { privileged, tools } = this.#machine;
    const nothing = { socketPath: undefined, notifyPath: undefined };
    return { definition, owner: this.key.owner, account, cgroup, privileged, tools, ...nothing };
  }

  /** What is run after a run of these terms. */
  #finish(terms: Terms | undefined): Finish | undefined {
    if (!terms?.definition.service?.finish) return undefined;
    return (ending, cgroup) => {
      const definition = rlimited(terms, this.key.owner, this.#host.ownerContext, this.#machine);
      return launchFinish(this.#launch({ ...terms, definition }, cgroup), ending);
    };
  }

  /** A chain that stands by is one process more; it is worth that where clients wait at a socket. */
  #prepare(run: number): void {
    // One that binds its own socket does so in a directory of the run's; one that sleeps is begun by whoever comes.
    if (!this.#common?.socket || !this.terms || this.terms.definition.ondemand) return;
    if (this.key.instance > MOST_STANDING_BY) return;
    try {
      this.#machine.discard(this.key);
      const { plan, held } = this.#plan(this.terms, this.#common, run);
      this.#machine.prepare(this.key, run, plan, held);
    } catch {
      // The launch itself will meet the same trouble, and tell it.
    }
  }

  /** As if it had been launched and had ended: later, because the present step is not over. */
  #failLaunch(run: number, stage: string, reason: string): void {
    this.#machine.after(0, () => {
      this.feed({ type: "exited", run, exit: { how: "launch", stage, reason }, connected: false });
      this.feed({ type: "gone", run });
    });
  }

  #news(run: number): RunNews {
    return {
      waiting: (reason) => {
        if (run !== this.#state.run) return;
        this.#waiting = reason;
        this.#host.waits();
      },
      launched: () => {
        this.feed({ type: "launched", run, waited: this.#waiting !== undefined });
        const { binding } = this.#common ?? {};
        if (!binding) return;
        this.#publish(run, binding, FIRST_LOOK);
        void this.#guard(run, binding);
      },
      ready: () => this.feed({ type: "ready", run }),
      exited: (raw) => {
        const lived = this.#machine.now() - (this.#state.startedAt ?? 0);
        // Who was served while others had the same socket may have been served by them.
        const own = lived >= SETTLE || !this.#host.hasCompany(this);
        const connected = own && (this.#served || this.#hasServed());
        const exit = this.#overdraft ?? readExit(raw, this.#memoryLimit());
        this.feed({ type: "exited", run, exit, connected });
      },
      gone: (finish) => {
        this.#run = undefined;
        this.#common?.binding?.clear(run);
        this.feed({ type: "gone", run, permanent: finish === PERMANENT_FAILURE });
      },
    };
  }

  #memoryLimit(): number | undefined {
    return least(this.terms?.definition.memory, this.#host.ownerContext.budget.memory?.amount);
  }

  /** Publishes what its process has bound, whatever is published now. */
  publishAgain(): void {
    this.reached = false;
    if (this.#common?.binding) this.#publish(this.#state.run, this.#common.binding, FIRST_LOOK);
  }

  /** Whether clients may be sent to it, and away from one that it is to replace. */
  #isServing(): boolean {
    const { phase, startedAt } = this.#state;
    const { ready, readyAfter } = this.terms?.definition ?? DEFAULTS;
    if (phase !== "running") return ready === "accept" && !this.fresh;
    return !this.fresh || ready !== "accept" || this.#machine.now() - (startedAt ?? 0) >= readyAfter;
  }

  /** Publishes what the process binds itself, as soon as that is there and may be. */
  #publish(run: number, binding: BindingPlace, wait: number): void {
    if (this.#state.run !== run || !this.#run || this.retiring || this.#common?.binding !== binding) return;
    const isServing = this.#isServing();
    this.reached ||= isServing && binding.publish(run);
    if (this.reached) return;
    const next = isServing ? Math.min(wait * 2, SLOWEST_LOOK) : wait;
    this.#machine.after(wait, () => this.#publish(run, binding, next));
  }
}
