/** One instance of a daemon: feeds events to the table of core/lifecycle.ts, performs its effects, keeps its one timer. */
import { type Allotment, type Allowance, allowanceOf, least } from "../core/allowance.ts";
import type { InstanceKey } from "../core/daemon-key.ts";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import { type SocketEvidence, tookConnection } from "../core/evidence.ts";
import { alive, type Effect, type Event, type Exit, initial, SETTLE, type State, step } from "../core/lifecycle.ts";
import type { Terms } from "../core/terms.ts";
import { type Launch, launchDaemon, launchFinish, PERMANENT_FAILURE, readExit } from "../launch/plan.ts";
import { type BindTimer, guardDirectory, publishBound } from "./bound-socket.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { DaemonLimits } from "./ports/limits.ts";
import type { HeldLog, LogTrace } from "./ports/logs.ts";
import type { Ports } from "./ports/ports.ts";
import type { InstanceRecord, RecordSlot } from "./ports/records.ts";
import type { LiveRun, RunContext, RunNews, RunSlot, RunUsage } from "./ports/runs.ts";
import type { BindDirectory, HeldSocket } from "./ports/sockets.ts";

/** What the runs of a daemon have in common. */
export interface Common {
  readonly socket: HeldSocket | undefined;
  readonly bind: BindDirectory | undefined;
  readonly log: HeldLog | undefined;
}

/** What an instance needs of its daemon. */
export interface InstanceHost {
  /**
   * Opens what a run of these terms needs. `stage` receives the name of each step.
   * @throws errno errors
   */
  open(terms: Terms, stage: (name: string) => void): Common;
  /** A run of this instance is about to start: clients that connected before did not connect to it. */
  markClients(beginner: Instance): void;
  /** Whether others share its socket at present. */
  hasCompany(instance: Instance): boolean;
  /** Called after each step. */
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void;
  /** Called when a launch waits for something, or continues. */
  waits(): void;
  /** Called when no process of a run is left. */
  settleLog(): void;
  logTrace(): LogTrace | undefined;
  readonly scale: number | undefined;
  readonly size: number;
  readonly ownerContext: OwnerContext;
  readonly limits: DaemonLimits;
  /** What its daemon may use, with the runs that live at present. */
  allotment(terms: Terms): Allotment;
  /** The terms' definition with the rlimits that replace cgroups on this machine. */
  limited(terms: Terms): Definition;
}

const SIGTERM = 15;
const SIGSTOP = 19;
const SIGCONT = 18;
/** Instances of one daemon with a standby launch: where more share a socket, the others serve until the next is up. */
const MOST_STANDBYS = 4;

type Perform = { readonly [T in Effect["type"]]: (effect: Extract<Effect, { type: T }>) => void };

/** Why the supervisor ends a run. */
type Overdraft = Extract<Exit, { how: "memory" | "files" }>;

export class Instance {
  key: InstanceKey;
  /** What its present run is made of; what the next will be, unless others were given. */
  terms: Terms | undefined;
  /** Whether it is dropped when it has ended. */
  retiring = false;
  /** Whether it is to replace another that still lives, and has not proved that it can. */
  candidate = false;
  /** See core/rollout.ts: Standing. */
  reached = false;
  /** Since when, by the clock, no process of it has lived, or it has been known without one. */
  downSince: number;
  readonly #ports: Pick<Ports, "clock" | "runs">;
  readonly #host: InstanceHost;
  readonly #slot: RunSlot;
  readonly #record: RecordSlot;
  #state: State;
  #cancelTimer: (() => void) | undefined;
  #run: LiveRun | undefined;
  #common: Common | undefined;
  #before: SocketEvidence | undefined;
  #served = false;
  /** What the latest launch waits for, in words; undefined where it has not waited. */
  #waiting: string | undefined;
  #launched: Allowance | undefined;
  #overdraft: Overdraft | undefined;

  /** @param firstRun number of its first run less one: no other of the daemon's live runs has a higher one */
  constructor(
    key: InstanceKey,
    terms: Terms | undefined,
    firstRun: number,
    ports: Pick<Ports, "clock" | "runs" | "records">,
    host: InstanceHost,
  ) {
    this.key = key;
    this.terms = terms;
    this.#state = { ...initial, run: firstRun };
    this.#ports = ports;
    this.#host = host;
    this.#slot = ports.runs.slot(key);
    this.#record = ports.records.slot(key);
    this.downSince = ports.clock.now();
  }

  get state(): State {
    return this.#state;
  }
  get pid(): number {
    return this.#run?.pid ?? 0;
  }
  /** Its live run; undefined where none lives. */
  get run(): LiveRun | undefined {
    return this.#run;
  }
  get slot(): Pick<RunSlot, "finishing" | "groups"> {
    return this.#slot;
  }
  /** What its launch waits for, in words; "" where it does not. */
  get waiting(): string {
    return (this.#state.phase === "starting" && this.#waiting) || "";
  }
  /** The limits that its present run started with; undefined where none lives, or an earlier supervisor started it. */
  get launched(): Allowance | undefined {
    return alive(this.#state) ? this.#launched : undefined;
  }

  /** What its run uses of the machine; undefined where none lives. */
  usage(): RunUsage | undefined {
    return this.#run?.usage();
  }
  /** Bytes of its run's memory: see LiveRun.size. */
  size(doubtful: number): number | undefined {
    return this.#run?.size(doubtful);
  }

  /** Ends its run, because it uses more memory than `limit`. Both in bytes. */
  exceed(limit: number, size: number): void {
    this.#endFor({ how: "memory", limit, peak: size });
  }
  #endFor(exit: Overdraft): void {
    if (!this.#run || this.#overdraft) return;
    this.#overdraft = exit;
    this.#run.kill();
  }

  /** Ends the standby launch. */
  discard(): void {
    this.#slot.discard();
  }
  /** Prepares the next launch again, because what it is made of has changed. */
  refresh(): void {
    this.discard();
    if (this.#state.phase === "running") this.#prepare(this.#state.run + 1);
  }

  /** One event, and its effects. */
  feed(event: Event): void {
    const before = this.#state;
    const { clock } = this.#ports;
    const now = clock.now();
    const { state, effects } = step(before, event, {
      now,
      random: clock.random(),
      earliest: this.#host.ownerContext.earliest(now),
      rules: this.terms?.definition ?? DEFAULTS,
    });
    if (state === before) return;
    if (state.respawns > before.respawns) this.#host.ownerContext.restarted();
    this.#become(state);
    // Effects come before the record: clients may be waiting.
    for (const effect of effects) (this.#perform[effect.type] as (effect: Effect) => void)(effect);
    // The next supervisor takes every live run for launched.
    if (event.type !== "launched" || event.waited) this.remember();
    this.#host.stepped(this, event.type, before, state);
  }

  /** Counts the clients that came so far; from now on only later ones count. */
  noteClients(): void {
    this.#served ||= this.#hasServed();
    this.#before = undefined;
  }
  /** Remembers how its socket looks now. */
  observeClients(): void {
    if (alive(this.#state)) this.#before = this.#common?.socket?.observe();
  }
  #hasServed(): boolean {
    const { socket } = this.#common ?? {};
    return socket !== undefined && (!this.#before || tookConnection(this.#before, socket.observe()));
  }

  /** Continues from where an earlier supervisor left. */
  resume(record: InstanceRecord, common: Common): void {
    const { state } = record;
    this.#common = common;
    if (alive(state)) {
      const context = { ...common, finish: this.#finish(this.terms) };
      this.#run = this.#slot.adopt(state.run, record.run, context, this.#news(state.run));
      if (this.terms) this.terms = { ...this.terms, fingerprint: record.fingerprint };
    }
    this.#become(state);
    this.remember();
    if (state.draining) this.#run?.drain();
    if (common.bind) guardDirectory(this.#bindTimer(state.run, common.bind));
    if (!this.#run || state.phase !== "starting") return;
    // A run that may be waiting for its lock can no longer report that it has it.
    if (this.terms?.definition.lock !== undefined && state.want === "up") {
      this.feed({ type: "restart" });
      if (state.once) this.feed({ type: "once" });
      return;
    }
    // The descriptor for its readiness went with the earlier supervisor.
    this.feed({ type: "launched", run: state.run });
    this.feed({ type: "ready", run: state.run });
  }

  /** Sends a signal to the main process; false when there is none. */
  signal(signal: number): boolean {
    this.#run?.signal(signal);
    return this.#run !== undefined;
  }

  /** Whether it has a client's connection at this moment; undefined where that takes too long to find out. */
  serves(): boolean | undefined {
    return this.#run ? this.#run.serves() : false;
  }

  /** Gives up what it holds, and leaves no record. It must have stopped. */
  close(): void {
    this.#cancelTimer?.();
    this.discard();
    this.#record.remove();
  }

  /** It has proved that it can replace the other. */
  prove(): void {
    this.candidate = false;
    this.remember();
  }

  /** Leaves what the next supervisor needs to know. */
  remember(): void {
    this.#record.write(() => ({
      state: this.#state,
      fingerprint: this.terms?.fingerprint ?? "",
      scale: this.#host.scale,
      size: this.#host.size,
      role: this.retiring ? "retiring" : this.candidate ? "candidate" : "active",
      run: this.#run?.trace,
      log: this.#host.logTrace(),
    }));
  }

  readonly #perform: Perform = {
    spawn: ({ run }) => this.#spawn(run),
    prepare: ({ run }) => this.#prepare(run),
    discard: () => this.discard(),
    drain: () => this.#run?.drain(),
    pause: () => this.#run?.signalAll(SIGSTOP),
    continue: () => this.#run?.signalAll(SIGCONT),
    terminate: () => this.#run?.signalAll(SIGTERM),
    kill: () => this.#run?.kill(),
  };

  #become(state: State): void {
    const { clock } = this.#ports;
    const { deadline } = state;
    if (deadline !== this.#state.deadline || this.#cancelTimer === undefined) {
      this.#cancelTimer?.();
      this.#cancelTimer =
        deadline === undefined
          ? undefined
          : clock.after(Math.max(0, deadline - clock.now()), () => this.feed({ type: "deadline" }));
    }
    if (alive(this.#state) && !alive(state)) this.downSince = clock.now();
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
      const { plan, context } = this.#plan(terms, common, run);
      stage = "making its process";
      this.#before = undefined;
      this.#host.markClients(this);
      this.#served = false;
      this.reached = false;
      this.#run = this.#slot.launch(run, plan, context, this.#news(run));
    } catch (error) {
      this.#failLaunch(run, stage, error instanceof Error ? error.message : String(error));
    }
  }

  #plan(terms: Terms, common: Common, run: number) {
    const { account } = terms;
    const cgroup = this.#cgroup(run, this.#host.allotment(terms));
    const definition = this.#host.limited(terms);
    const plan = launchDaemon({
      ...this.#launch(terms, cgroup),
      definition,
      socketPath: common.bind?.provide(run),
      notifyPath: definition.ready === "notify" ? this.#slot.notifyPath : undefined,
    });
    const context: RunContext = {
      socket: common.socket,
      bind: common.bind,
      input: definition.listen === "fastcgi" ? "socket" : "nothing",
      ready: definition.ready,
      account,
      log: definition.output === "discard" ? undefined : common.log,
      cgroup,
      finish: this.#finish(terms),
    };
    return { plan, context };
  }

  #cgroup(run: number, allotment: Allotment): string | undefined {
    const { limits } = this.#host;
    const standby = this.#slot.standby(run);
    if (standby) {
      limits.ensure(allotment);
      return standby.cgroup;
    }
    this.discard();
    return limits.makeGroup(run, allotment);
  }

  #launch({ definition, account }: Terms, cgroup: string | undefined): Launch {
    const { privileged, tools } = this.#ports.runs;
    const nothing = { socketPath: undefined, notifyPath: undefined };
    return { definition, owner: this.key.owner, account, cgroup, privileged, tools, ...nothing };
  }

  /** The program that follows a run of these terms. */
  #finish(terms: Terms | undefined): RunContext["finish"] {
    if (!terms?.definition.service?.finish) return undefined;
    return (ending) => {
      const cgroup = this.#host.limits.makeGroup("finish", this.#host.allotment(terms));
      const definition = this.#host.limited(terms);
      return { plan: launchFinish(this.#launch({ ...terms, definition }, cgroup), ending), cgroup };
    };
  }

  /** A standby launch costs a process; it is worth that where clients wait at a socket. */
  #prepare(run: number): void {
    // One that binds its own socket does so in a directory of its run; one that sleeps is started by a client.
    if (!this.#common?.socket || !this.terms || this.terms.definition.ondemand) return;
    if (this.key.instance > MOST_STANDBYS) return;
    try {
      this.discard();
      const { plan, context } = this.#plan(this.terms, this.#common, run);
      this.#slot.prepare(run, plan, context);
    } catch {
      // The launch itself will meet the same trouble, and tell it.
    }
  }

  /** As if it had been launched and had ended: later, because the present step is not over. */
  #failLaunch(run: number, stage: string, reason: string): void {
    this.#ports.clock.after(0, () => {
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
        const { bind } = this.#common ?? {};
        if (!bind) return;
        const timer = this.#bindTimer(run, bind);
        publishBound(timer);
        guardDirectory(timer);
      },
      ready: () => this.feed({ type: "ready", run }),
      exited: (raw) => {
        const lived = this.#ports.clock.now() - (this.#state.startedAt ?? 0);
        // Clients may have been served by others that had the same socket.
        const own = lived >= SETTLE || !this.#host.hasCompany(this);
        const connected = own && (this.#served || this.#hasServed());
        const exit = this.#overdraft ?? readExit(raw, this.#memoryLimit());
        this.feed({ type: "exited", run, exit, connected });
      },
      gone: (finish) => {
        this.#run = undefined;
        this.#host.settleLog();
        this.#common?.bind?.clear(run);
        this.feed({ type: "gone", run, permanent: finish === PERMANENT_FAILURE });
      },
    };
  }

  #memoryLimit(): number | undefined {
    return least(this.terms?.definition.memory, this.#host.ownerContext.budget.memory?.amount);
  }

  /** Publishes the socket that its process has bound, whichever is published now. */
  publishAgain(): void {
    this.reached = false;
    if (this.#common?.bind) publishBound(this.#bindTimer(this.#state.run, this.#common.bind));
  }

  /** Whether clients may be sent to it, and away from one that it is to replace. */
  #isProven(): boolean {
    const { phase, startedAt } = this.#state;
    const { ready, readyAfter } = this.terms?.definition ?? DEFAULTS;
    if (phase !== "running") return ready === "accept" && !this.candidate;
    return !this.candidate || ready !== "accept" || this.#ports.clock.now() - (startedAt ?? 0) >= readyAfter;
  }

  #bindTimer(run: number, bind: BindDirectory): BindTimer {
    const lives = (): boolean => this.#run !== undefined && this.#state.run === run;
    return {
      clock: this.#ports.clock,
      bind,
      run,
      isOver: () => !lives() || this.#overdraft !== undefined,
      mayPublish: () => this.#isProven(),
      publishes: () => lives() && !this.retiring && !this.reached && this.#common?.bind === bind,
      published: () => {
        this.reached = true;
      },
      exceeded: (held) => this.#endFor({ how: "files", held }),
    };
  }
}
