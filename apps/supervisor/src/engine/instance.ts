/** One instance of a daemon: feeds events to the state machine of core/lifecycle.ts, performs its effects, keeps its timer. */

import type { InstanceKey } from "../core/daemon-key.ts";
import { DEFAULTS } from "../core/definition.ts";
import { messageOf } from "../core/error-message.ts";
import { type SocketEvidence, tookConnection } from "../core/evidence.ts";
import type { Exit } from "../core/exit.ts";
import { alive, type Effect, type Event, initial, isServing, SETTLE, type State, step } from "../core/lifecycle.ts";
import { least, type ResourceLimits, resourceLimitsOf } from "../core/resource-limits.ts";
import type { RunUsage } from "../core/run-usage.ts";
import type { Terms } from "../core/terms.ts";
import { PERMANENT_FAILURE } from "../launch/plan.ts";
import { type BoundRun, guardDirectory, publishBound } from "./bound-socket.ts";
import { Launcher, type LaunchHost } from "./launcher.ts";
import { NextRun } from "./next-run.ts";
import type { OwnerContext } from "./owner-context.ts";
import type { LogTrace } from "./ports/logs.ts";
import type { Ports } from "./ports/ports.ts";
import type { InstanceRecord, RecordSlot } from "./ports/records.ts";
import type { LiveRun, RunEvents, RunSlot } from "./ports/runs.ts";
import type { BindDirectory } from "./ports/sockets.ts";
import { exitOf } from "./run-exit.ts";
import type { OpenResources } from "./shared-resources.ts";

/** What an instance needs of its daemon. */
export interface InstanceHost extends LaunchHost {
  /**
   * Opens what a run of these terms needs. `stage` receives the name of each stage.
   * @throws errno errors
   */
  open(terms: Terms, stage: (name: string) => void): OpenResources;
  /** A run of `starting` is about to start: clients that connected before did not connect to it. */
  markClients(starting: Instance): void;
  /** Whether runs of other instances live. */
  hasCompany(instance: Instance): boolean;
  /** Called after each step. */
  stepped(instance: Instance, event: Event["type"], before: State, after: State): void;
  /** Called when a launch waits for something, or continues. */
  waits(): void;
  /** Called when no process of a run is left. */
  settleLog(): void;
  logTrace(): LogTrace | undefined;
  /** InstanceRecord.conf of these terms. */
  confOf(terms: Terms): string | undefined;
  /** Whether its records stay when it is closed. */
  readonly exited: boolean;
  readonly scale: number | undefined;
  readonly size: number;
  readonly ownerContext: OwnerContext;
}

const [SIGTERM, SIGCONT, SIGSTOP] = [15, 18, 19] as const;

/** Exit of a run that the supervisor killed because it exceeded a limit. */
type Excess = Extract<Exit, { how: "out-of-memory" | "too-many-files" }>;

export class Instance {
  key: InstanceKey;
  #terms: Terms | undefined;
  /** Whether it is dropped when its run has ended. */
  retiring = false;
  /** Whether it is to replace another instance and has not proved itself. */
  candidate = false;
  /** See core/rollout.ts: Standing. */
  reached = false;
  /** Since when no run of it lives, or since when it is known without one. By the clock, in ms. */
  downSince: number;
  readonly #ports: Pick<Ports, "clock">;
  readonly #host: InstanceHost;
  readonly #slot: RunSlot;
  readonly #launcher: Launcher;
  readonly #record: RecordSlot;
  #state: State;
  #cancelTimer: (() => void) | undefined;
  #run: LiveRun | undefined;
  #resources: OpenResources | undefined;
  #before: SocketEvidence | undefined;
  #served = false;
  /** What the latest launch waits for, in words; undefined where it has not waited. */
  #waiting: { readonly reason: string; readonly isBrief: boolean } | undefined;
  #launched: ResourceLimits | undefined;
  #excess: Excess | undefined;
  #closed = false;
  readonly #next: NextRun;

  /** @param latestRun its runs get higher numbers; no live run of its daemon has a higher one */
  constructor(
    key: InstanceKey,
    terms: Terms | undefined,
    latestRun: number,
    ports: Pick<Ports, "clock" | "runs" | "records" | "machine">,
    host: InstanceHost,
  ) {
    this.key = key;
    this.#terms = terms;
    this.#state = { ...initial, run: latestRun };
    this.#ports = ports;
    this.#host = host;
    this.#slot = ports.runs.slot(key);
    this.#launcher = new Launcher(() => this.key, this.#slot, ports.machine, host);
    this.#record = ports.records.slot(key);
    this.#next = new NextRun(this.#slot, ports.clock, this);
    this.downSince = ports.clock.now();
  }

  /** Terms of its present run, and of the next one unless others are set. */
  get terms(): Terms | undefined {
    return this.#terms;
  }
  set terms(terms: Terms | undefined) {
    this.#terms = terms;
    // The shim would launch it by the former terms.
    this.#next.forbid();
  }
  get state(): State {
    return this.#state;
  }
  get pid(): number {
    return this.#run?.pid ?? 0;
  }
  earliest(now: number): number {
    return this.#host.ownerContext.earliest(now);
  }
  /** Its live run; undefined where none lives. */
  get run(): LiveRun | undefined {
    return this.#run;
  }
  get slot(): Pick<RunSlot, "finishing" | "groups"> {
    return this.#slot;
  }
  /** What its launch waits for, in words; "" where it does not wait. */
  get waiting(): string {
    return (this.#state.phase === "starting" && this.#waiting?.reason) || "";
  }
  /** The same where requests do not wait for it. */
  get obstacle(): string {
    return this.#waiting?.isBrief ? "" : this.waiting;
  }
  /** The limits that its run started with; undefined where none lives or an earlier supervisor started it. */
  get launched(): ResourceLimits | undefined {
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

  /** Kills its run, which exceeds its memory limit. Both in bytes. */
  exceed(limit: number, size: number): void {
    this.#killFor({ how: "out-of-memory", limit, peak: size });
  }
  #killFor(excess: Excess): void {
    if (!this.#run || this.#excess) return;
    this.#excess = excess;
    this.#run.kill();
  }

  /** Takes one step and performs its effects. */
  feed(event: Event): void {
    const before = this.#state;
    const { clock } = this.#ports;
    const now = clock.now();
    const { state, effects } = step(before, event, {
      now,
      random: clock.random(),
      earliest: this.earliest(now),
      rules: this.terms?.definition ?? DEFAULTS,
    });
    if (state === before) return;
    if (state.respawns > before.respawns) this.#host.ownerContext.restarted();
    if (event.type === "exited") this.#next.ended();
    this.#next.prepare(state);
    this.#become(state);
    // Effects come before the record: clients may be waiting.
    for (const { type, run } of effects) this.#perform[type](run);
    // The next supervisor learns from the shim that a run has been launched.
    if (event.type !== "launched" || event.waited) this.remember();
    this.#host.stepped(this, event.type, before, state);
  }

  /** Counts the clients so far; from now on only later ones count. */
  noteClients(): void {
    this.#served ||= this.#hasServed();
    this.#before = undefined;
  }
  /** Remembers the present state of its socket. */
  observeClients(): void {
    if (alive(this.#state)) this.#before = this.#resources?.socket?.observe();
  }
  #hasServed(): boolean {
    const { socket } = this.#resources ?? {};
    return socket !== undefined && (!this.#before || tookConnection(this.#before, socket.observe()));
  }

  /** Continues from the record of an earlier supervisor. */
  resume(record: InstanceRecord, resources: OpenResources): void {
    const { state } = record;
    this.#resources = resources;
    if (alive(state)) {
      const context = { ...resources, finish: this.#launcher.finish(this.terms) };
      this.#run = this.#slot.adopt(state.run, record.run, context, this.#events(state.run));
      if (this.terms) this.terms = { ...this.terms, fingerprint: record.fingerprint };
    }
    this.#become(state);
    this.remember();
    if (state.draining) this.#run?.drain();
    if (resources.bind && state.phase !== "starting") guardDirectory(this.#bound(state.run, resources.bind));
  }

  /** Sends a signal to the main process; false when there is none. */
  signal(signal: number): boolean {
    this.#run?.signal(signal);
    return this.#run !== undefined;
  }

  /** Whether it has a client's connection now; undefined where that takes too long to find out. */
  serves(): boolean | undefined {
    return this.#run ? this.#run.serves() : false;
  }

  /** Closes what it holds and removes its record, unless that says that its daemon exited. It must have stopped. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    if (!this.#host.exited) this.#record.remove();
  }

  /** It has proved that it can replace the other instance. */
  prove(): void {
    this.candidate = false;
    this.remember();
  }

  /** Writes its record for the next supervisor, unless it is closed. */
  remember(): void {
    if (this.#closed) return;
    this.#record.write(() => ({
      state: this.#state,
      fingerprint: this.terms?.fingerprint ?? "",
      conf: this.terms && alive(this.#state) ? this.#host.confOf(this.terms) : undefined,
      accounts: this.terms && [this.key.owner, this.terms.account].map(({ name, uid }) => ({ name, uid })),
      exited: this.#host.exited || undefined,
      scale: this.#host.scale,
      size: this.#host.size,
      role: this.retiring ? "retiring" : this.candidate ? "candidate" : "active",
      run: this.#run?.trace,
      log: this.#host.logTrace(),
    }));
  }

  readonly #perform: { readonly [T in Effect["type"]]: (run: number) => void } = {
    spawn: (run) => this.#spawn(run),
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
          : clock.after(Math.max(0, deadline - clock.now()), () => {
              this.#cancelTimer = undefined;
              this.feed({ type: "deadline" });
            });
    }
    if (alive(this.#state) && !alive(state)) this.downSince = clock.now();
    this.#state = state;
  }

  #spawn(run: number): void {
    this.#waiting = undefined;
    this.#excess = undefined;
    if (this.#next.begun !== undefined) {
      this.#take(run, this.#next.begun);
      return;
    }
    this.#launched = this.terms && resourceLimitsOf(this.terms.definition);
    let stage = "creating the process";
    const setStage = (name: string): void => {
      stage = name;
    };
    try {
      const { terms } = this;
      if (!terms) throw new Error("it has no valid conf file");
      const resources = this.#host.open(terms, setStage);
      this.#resources = resources;
      this.#expectClients();
      const again = this.#next.permit();
      this.#run = this.#launcher.launch(run, terms, resources, setStage, this.#events(run), again);
    } catch (error) {
      this.#failLaunch(run, stage, messageOf(error));
    }
  }

  #expectClients(): void {
    this.#before = undefined;
    this.#host.markClients(this);
    this.#served = false;
    this.reached = false;
  }

  /** Takes over the run that the shim has launched by the terms of the last one. */
  #take(run: number, pid: number): void {
    const { socket, bind, log } = this.#resources ?? {};
    this.#next.begun = undefined;
    this.#expectClients();
    const context = { socket, bind, log, finish: undefined };
    this.#run = this.#slot.take(run, pid, this.#next.permit(), context, this.#events(run));
  }

  /** Reports a run that ended at its launch. Later, because the present step is not over. */
  #failLaunch(run: number, stage: string, reason: string): void {
    this.#ports.clock.after(0, () => {
      this.feed({ type: "exited", run, exit: { how: "launch-failed", stage, reason }, connected: false });
      this.feed({ type: "gone", run });
    });
  }

  #events(run: number): RunEvents {
    return {
      waiting: (reason, isBrief = false) => {
        if (run !== this.#state.run) return;
        this.#waiting = { reason, isBrief };
        this.#host.waits();
      },
      launched: () => {
        const { phase } = this.#state;
        this.feed({ type: "launched", run, waited: this.#waiting !== undefined });
        const { bind } = this.#resources ?? {};
        // A run that was running under an earlier supervisor is watched already.
        if (!bind || phase !== "starting") return;
        const bound = this.#bound(run, bind);
        publishBound(bound);
        guardDirectory(bound);
      },
      ready: () => this.feed({ type: "ready", run }),
      exited: (raw) => {
        const lived = this.#ports.clock.now() - (this.#state.startedAt ?? 0);
        // Other instances at the same socket may have served the clients.
        const own = lived >= SETTLE || !this.#host.hasCompany(this);
        const connected = own && (this.#served || this.#hasServed());
        const limit = least(this.terms?.definition.memory, this.#host.ownerContext.budget.memory?.amount);
        const exit = this.#excess ?? exitOf(raw, limit);
        this.feed({ type: "exited", run, exit, connected });
      },
      gone: (finish, next) => {
        this.#run = undefined;
        this.#next.begun = next?.pid;
        this.#host.settleLog();
        this.#resources?.bind?.clear(run);
        this.feed({ type: "gone", run, permanent: finish === PERMANENT_FAILURE, begun: next?.at });
        // It listens where no client comes. The one after it gets a new socket.
        const isCutOff = next !== undefined && this.#resources?.socket?.isPublished() === false;
        if (isCutOff && isServing(this.#state)) this.feed({ type: "restart" });
      },
    };
  }

  /** Publishes the socket that its process has bound, whichever is published now. */
  publishAgain(): void {
    this.reached = false;
    if (this.#resources?.bind) publishBound(this.#bound(this.#state.run, this.#resources.bind));
  }

  /** Whether clients may be sent to it, and away from the instance that it is to replace. */
  #mayPublish(): boolean {
    const { phase, startedAt } = this.#state;
    const { ready, readyAfter } = this.terms?.definition ?? DEFAULTS;
    if (phase !== "running") return ready === "accept" && !this.candidate;
    return !this.candidate || ready !== "accept" || this.#ports.clock.now() - (startedAt ?? 0) >= readyAfter;
  }

  #bound(run: number, bind: BindDirectory): BoundRun {
    const lives = (): boolean => this.#run !== undefined && this.#state.run === run;
    return {
      clock: this.#ports.clock,
      bind,
      run,
      isOver: () => !lives() || this.#excess !== undefined,
      mayPublish: () => this.#mayPublish(),
      isUnpublished: () => lives() && !this.retiring && !this.reached && this.#resources?.bind === bind,
      published: () => {
        this.reached = true;
      },
      exceeded: (held) => this.#killFor({ how: "too-many-files", held }),
    };
  }
}
