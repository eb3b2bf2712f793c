/** One daemon: feeds events to the table of core/lifecycle.ts, performs the effects it returns, keeps its one timer. */
import { DEFAULTS, type Definition } from "./core/definition.ts";
import { type SocketEvidence, tookConnection } from "./core/evidence.ts";
import { type LaunchPlan, launchDaemon, launchLogger, readExit } from "./core/launch.ts";
import { alive, type Effect, type Event, initial, type State, step, type Verdict, verdict } from "./core/lifecycle.ts";
import type { Account } from "./core/policy-rules.ts";
import type {
  DaemonKey,
  DaemonRecord,
  FoundFile,
  Held,
  HeldLog,
  HeldSocket,
  LiveRun,
  LogLoss,
  Machine,
  RunNews,
} from "./machine.ts";

/** Tells what became of each step; main.ts makes it the supervisor's log. */
export type Witness = (daemon: Daemon, event: Event["type"], before: State, after: State) => void;

/** Everything about a daemon that its policy and file decide: what the next run is made of. */
export interface Terms {
  readonly definition: Definition;
  /** FoundFile.fingerprint of the file that says so. */
  readonly fingerprint: string;
  /** The account that it runs as. */
  readonly account: Account;
  readonly logDirectory: string;
  readonly nginxGroup: string;
}

const SIGTERM = 15;
/** Where a daemon stays until somebody does something: its logger has nothing to wait for. */
const AT_REST: ReadonlySet<State["phase"]> = new Set(["stopped", "failed", "forbidden", "invalid"]);

type Perform = { readonly [T in Effect["type"]]: (effect: Extract<Effect, { type: T }>) => void };

interface Waiter {
  readonly wish: "up" | "down";
  readonly since: number;
  readonly resolve: (verdict: Exclude<Verdict, "pending">) => void;
}

/** A daemon that the supervisor knows. Its file may be wrong, and it may not be allowed to run: the state says so. */
export class Daemon {
  readonly key: DaemonKey;
  readonly id: string;
  /** The file as last read. */
  file: FoundFile;
  /** Whether the file is gone: the daemon is dropped when it has stopped. */
  removed = false;
  /** What the present run is made of. */
  terms: Terms | undefined;
  /** What the next one is to be made of, if anything else. */
  #next: Terms | undefined;
  readonly #machine: Machine;
  readonly #witness: Witness;
  #state: State = initial;
  #cancelTimer: (() => void) | undefined;
  #run: LiveRun | undefined;
  #socket: HeldSocket | undefined;
  #before: SocketEvidence | undefined;
  #log: HeldLog | undefined;
  #loss: LogLoss = { lines: 0, reason: "" };
  #waiters: Waiter[] = [];

  constructor(key: DaemonKey, file: FoundFile, machine: Machine, witness: Witness) {
    this.key = key;
    this.id = `${key.owner.name}/${key.name}`;
    this.file = file;
    this.#machine = machine;
    this.#witness = witness;
  }

  get state(): State {
    return this.#state;
  }
  /** Whether its file says something else by now than what the present run was made of. */
  get changed(): boolean {
    return alive(this.#state) && this.terms !== undefined && this.terms.fingerprint !== this.file.fingerprint;
  }
  get pid(): number {
    return this.#run?.pid ?? 0;
  }
  get socketPath(): string {
    return this.#socket?.path ?? "";
  }

  /** Directory of its log's files, wherever it has one. */
  get logDirectory(): string | undefined {
    return this.terms?.logDirectory;
  }

  /** What of its output was not logged. */
  get logLoss(): LogLoss {
    return this.#log?.loss() ?? this.#loss;
  }

  /** One event, its effects, and whoever waited for what it brought about. */
  feed(event: Event): void {
    const before = this.#state;
    const { state, effects } = step(before, event, {
      now: this.#machine.now(),
      random: this.#machine.random(),
      rules: this.terms?.definition ?? DEFAULTS,
    });
    if (state === before) return;
    this.#become(state);
    // What is to be done comes before what is to be written: clients may be waiting.
    for (const effect of effects) (this.#perform[effect.type] as (effect: Effect) => void)(effect);
    if (AT_REST.has(state.phase) && !this.#run) void this.#closeLog();
    this.#remember();
    this.#witness(this, event.type, before, state);
    this.#answer();
  }

  /** Resolves when what was asked for has come about, or cannot. `since`: the run there was before it was asked. */
  outcome(wish: "up" | "down", since: number): Promise<Exclude<Verdict, "pending">> {
    return new Promise((resolve) => {
      this.#waiters.push({ wish, since, resolve });
      this.#answer();
    });
  }

  /**
   * Says what the next run is to be made of. While no run lives, what it needs is opened at once; a daemon for which that
   * cannot be done is barred, and false returned.
   */
  offer(terms: Terms): boolean {
    this.#next = terms;
    if (alive(this.#state)) return true;
    try {
      this.#takeUp();
      return true;
    } catch (error) {
      const reason = `publishing its socket: ${error instanceof Error ? error.message : String(error)}`;
      this.feed({ type: "bar", bar: { kind: "invalid", reason } });
      return false;
    }
  }

  /** Makes what was offered the present terms, and holds the socket that they name, or none. */
  #takeUp(): Terms | undefined {
    if (this.#socket && !this.#socket.intact()) {
      this.#machine.discard(this.key);
      this.#closeSocket();
    }
    const terms = this.#next ?? this.terms;
    if (terms === undefined) return undefined;
    if (!this.terms || !this.#logsAlike(this.terms, terms)) void this.#closeLog();
    if (terms.definition.listen === "none") this.#closeSocket();
    else this.#socket ??= this.#machine.openSocket(this.key, terms.nginxGroup);
    this.terms = terms;
    this.#next = undefined;
    return terms;
  }

  /**
   * Goes on from where an earlier supervisor left: with its run, if that still lives. False when it left nothing.
   * @param terms what its file says now, if it may run
   */
  resume(terms: Terms | undefined): boolean {
    const record = this.#machine.recall(this.key);
    if (!record) return false;
    // Its record is written again only when its run has been taken up: it is by the record that the run is found.
    const { state } = record;
    this.#loss = { lines: record.dropped ?? 0, reason: "" };
    if (alive(state)) this.#takeUpRun(record, terms);
    this.#become(state);
    if (alive(state) && this.terms) this.terms = { ...this.terms, fingerprint: record.fingerprint };
    this.#remember();
    if (this.#run && state.phase === "starting") this.feed({ type: "launched", run: state.run });
    // It listens on a socket that clients no longer find: only a new run can listen on the present one.
    if (this.#run && this.#socket?.fresh && state.want === "up") this.feed({ type: "restart" });
    return true;
  }

  #takeUpRun(record: DaemonRecord, terms: Terms | undefined): void {
    this.#next = terms;
    try {
      if (this.#takeUp()?.definition.output === "log") this.#openLog();
    } catch {
      // What cannot be opened now is tried, and told, again at its next start.
    }
    this.#run = this.#machine.adopt(this.key, record, this.#news(record.state.run));
  }

  /** Sends a signal to the main process; false when there is none. */
  signal(signal: number): boolean {
    this.#run?.signal(signal);
    return this.#run !== undefined;
  }

  /** Gives up what it holds. It must have stopped. */
  async close(): Promise<void> {
    this.#cancelTimer?.();
    this.#machine.discard(this.key);
    this.#machine.forget(this.key);
    this.#closeSocket();
    await this.#closeLog();
  }

  readonly #perform: Perform = {
    spawn: ({ run }) => this.#spawn(run),
    prepare: ({ run }) => this.#prepare(run),
    discard: () => this.#machine.discard(this.key),
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
    this.#state = state;
  }

  #remember(): void {
    this.#machine.remember(this.key, this.#state, this.terms?.fingerprint ?? this.file.fingerprint);
  }

  #spawn(run: number): void {
    let stage = "publishing its socket";
    try {
      const terms = this.#takeUp();
      if (!terms) throw new Error("it has no valid file");
      stage = "opening its log";
      if (terms.definition.output === "log") this.#openLog();
      stage = "making its cgroup";
      const { plan, held } = this.#plan(terms, run);
      stage = "making its process";
      this.#socket?.mark();
      this.#before = this.#socket?.observe();
      this.#run = this.#machine.launch(this.key, plan, held, this.#news(run));
    } catch (error) {
      this.#failLaunch(run, stage, error instanceof Error ? error.message : String(error));
    }
  }

  #plan(terms: Terms, run: number): { plan: LaunchPlan; held: Held } {
    const cgroup = this.#machine.makeGroup(this.key, run);
    const plan = launchDaemon({
      definition: terms.definition,
      owner: this.key.owner,
      account: terms.account,
      cgroup,
      privileged: this.#machine.privileged,
    });
    return {
      plan,
      held: { socket: this.#socket, log: terms.definition.output === "log" ? this.#log : undefined, cgroup },
    };
  }

  /** A chain that stands by is one process more; it is worth that where clients wait at a socket. */
  #prepare(run: number): void {
    if (this.terms?.definition.listen === "none" || !this.terms) return;
    try {
      this.#machine.discard(this.key);
      const { plan, held } = this.#plan(this.terms, run);
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
      launched: () => this.feed({ type: "launched", run }),
      exited: (raw) => {
        const connected =
          this.#socket !== undefined && (!this.#before || tookConnection(this.#before, this.#socket.observe()));
        this.feed({ type: "exited", run, exit: readExit(raw), connected });
      },
      gone: () => {
        this.#run = undefined;
        this.feed({ type: "gone", run });
      },
    };
  }

  #openLog(): void {
    const terms = this.terms;
    if (this.#log || !terms) return;
    this.#log = this.#machine.openLog(this.key, terms.account, this.#logger(terms), terms.logDirectory);
  }

  #logger({ definition, logDirectory }: Terms): LaunchPlan {
    return launchLogger(logDirectory, this.key.owner, definition, this.#machine.privileged);
  }

  #logsAlike(some: Terms, others: Terms): boolean {
    const words = [some, others].map((terms) => JSON.stringify(this.#logger(terms).argv));
    return some.account.uid === others.account.uid && words[0] === words[1];
  }

  async #closeLog(): Promise<void> {
    const log = this.#log;
    if (!log) return;
    // What stands by has the log's FIFO open, and would write where nobody reads.
    this.#machine.discard(this.key);
    this.#log = undefined;
    await log.close();
    this.#loss = { lines: log.loss().lines, reason: "" };
  }

  #closeSocket(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #answer(): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      const said = verdict(this.#state, waiter.wish, waiter.since);
      if (said === "pending") return true;
      waiter.resolve(said);
      return false;
    });
  }
}
