/** The machine that the supervisor runs on: its port, made of the resources of this folder. */
import { hash } from "node:crypto";
import { join } from "node:path";
import type { Allotment } from "../core/allowance.ts";
import type { DaemonKey, InstanceKey } from "../core/daemon-key.ts";
import type { Means } from "../core/enforcement.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import type {
  Attendant,
  BindingPlace,
  Finish,
  FoundFile,
  FoundFiles,
  HeldLog,
  HeldSocket,
  InstanceRecord,
  LiveRun,
  Machine,
  Places,
  RawExit,
  RunNews,
  Held as Surroundings,
} from "../engine/ports/machine.ts";
import type { LaunchPlan } from "../launch/plan.ts";
import { fileIdentity } from "./accounts/accounts.ts";
import { makeOwnDirectory } from "./files/conf-dir.ts";
import { DaemonFiles, type FileRules } from "./files/conf-source.ts";
import type { StateFiles } from "./files/state-file.ts";
import { CpuBudget } from "./kernel/cpu-budget.ts";
import type { FileIdentity } from "./kernel/libc.ts";
import type { Poller } from "./kernel/poller.ts";
import { privileged } from "./kernel/privileges.ts";
import { findTree, isAlive, type ProcessIdentity, readProcesses } from "./kernel/process-table.ts";
import { SocketSnapshots } from "./kernel/socket-snapshot.ts";
import {
  type CgroupRoot,
  isPopulated,
  killGroup,
  limitGroups,
  listGroups,
  loggerGroup,
  makeGroup,
  removeGroup,
} from "./limits/cgroup.ts";
import { fifoPath, Log, type LogPlan, requireCompressor, requireWritable } from "./logs/log.ts";
import { OverflowWatch } from "./logs/overflow.ts";
import { runFinish } from "./processes/finish.ts";
import {
  adopt,
  type Chain,
  type ClientProbe,
  clear,
  launch,
  prepare,
  type Run,
  type Stdio,
  signalNumber,
} from "./processes/run.ts";
import { Binding } from "./sockets/binding.ts";
import { hasClient, servesClient } from "./sockets/client-probe.ts";
import { Held } from "./sockets/held-socket.ts";
import { type ListeningSocket, openSocket, takeAway, takeSocket } from "./sockets/listening-socket.ts";
import { awaitNotification } from "./sockets/notification.ts";

/** What a machine is told from outside. */
export interface LinuxOptions {
  readonly runDir: string;
  readonly fastcgiDir: string;
  readonly states: StateFiles;
  readonly cgroups: CgroupRoot;
  readonly poller: Poller;
  readonly files: FileRules;
  /** Directory of the programs that scripts of service directories call by their old names. */
  readonly tools: string;
  /** Sockets that the program before this one left in this process: their paths and descriptors. */
  readonly inherited: Map<string, number>;
  /** Something that went wrong aside from any request. */
  readonly report: (id: string, problem: string) => void;
}

/** How much of a processor's time may go into looking for the clients of one owner's daemons, and what of it is saved up. */
const LOOKING_SHARE = 0.05;
const LOOKING_BURST = 100;

const NO_LIMITS: Allotment = { owner: [], daemon: [], run: [] };

/** How a live run and its logger are found again. Plain data. */
interface Traces {
  readonly leader: ProcessIdentity | undefined;
  readonly cgroup: string | undefined;
  readonly logger: ProcessIdentity | undefined;
  /** Number of the file that the socket which it listens on is bound to (fileNumber). */
  readonly socket?: number | undefined;
  /** Log.signature of that logger's, and how many lines were dropped. */
  readonly loggerSignature?: string | undefined;
  readonly dropped?: number;
}

/** A launch that stands by. */
interface Spare {
  readonly run: number;
  readonly cgroup: string | undefined;
  readonly signature: string;
  readonly chain: Chain;
}

/** Equal for chains that come to the same. */
const signatureOf = (plan: LaunchPlan, stdio: Stdio): string =>
  hash("sha256", JSON.stringify([plan.argv, [...plan.environment], stdio]), "base64");

const idOf = ({ owner, name }: DaemonKey): string => `${owner.name}/${name}`;

/** Distinct for every instance; the first is called as its daemon. No daemon's name has a #. */
const recordName = ({ name, instance }: InstanceKey): string => (instance === 1 ? name : `${name}#${instance}`);
const instanceId = (key: InstanceKey): string => `${key.owner.name}/${recordName(key)}`;

interface Remembered extends Omit<InstanceRecord, "traces"> {
  readonly key: InstanceKey;
}

/** Linux, with or without root's powers. */
export class Linux implements Machine {
  readonly privileged = privileged;
  readonly tools: string;
  /** What owners say of their daemons. */
  readonly files: DaemonFiles;
  /** The machine's accounts; replaced when they are read again. */
  accounts: AccountBase = { users: new Map(), groups: new Map() };
  readonly #options: LinuxOptions;
  readonly #runs = new Map<string, Run>();
  /** Traces.socket of runs. */
  readonly #listening = new Map<string, number | undefined>();
  readonly #logs = new Map<string, Log>();
  readonly #overflows = new OverflowWatch();
  /** Lines that logs now closed have dropped, and logs that are being closed. */
  readonly #dropped = new Map<string, number>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #spares = new Map<string, Spare>();
  readonly #remembered = new Map<string, Remembered>();
  readonly #unwritten = new Map<string, Remembered>();
  readonly #sockets = new Set<Held>();
  readonly #notifications = new Map<string, () => void>();
  /** What each daemon was last held to, by its id. */
  readonly #allotments = new Map<string, Allotment>();
  /** The same, as text, where all of its groups that there were have been told it. */
  readonly #allotted = new Map<string, string>();
  readonly #loggerGroups = new Map<string, string>();
  /** What runs after runs of a daemon at present, by its id. */
  readonly #finishes = new Map<string, Set<Run>>();
  readonly #attending = new WeakMap<Attendant, Run>();
  readonly #snapshots = new SocketSnapshots();
  /** Time that may go into looking for the clients of an owner's daemons. */
  readonly #budgets = new Map<string, CpuBudget>();
  /** Time that may go into publishing what they bind: whoever waits for the end of a visit must not keep another from the start. */
  readonly #publishing = new Map<string, CpuBudget>();
  /** Time that may go into counting what is beside those sockets. */
  readonly #counting = new Map<string, CpuBudget>();

  constructor(options: LinuxOptions) {
    this.#options = options;
    this.tools = options.tools;
    this.files = new DaemonFiles(options.files, (owner) => this.identity(owner));
  }

  now(): number {
    return Number(process.hrtime.bigint() / 1000n) / 1000;
  }
  random(): number {
    return Math.random();
  }
  after(delay: number, then: () => void): () => void {
    const timer = setTimeout(then, Math.ceil(delay));
    return () => clearTimeout(timer);
  }

  /** How the kernel sees an owner. */
  identity(account: Account): FileIdentity {
    return fileIdentity(account, this.accounts);
  }

  readFiles(owner: Account, places: Places, loaded: readonly string[]): FoundFiles {
    // What an earlier supervisor had running comes first, too.
    const recorded = this.#options.states.list(owner.name).map((file) => file.split("#")[0] ?? "");
    return this.files.readAll(owner, places, new Set([...loaded, ...recorded]));
  }
  readFile(owner: Account, places: Places, name: string): FoundFile | undefined {
    return this.files.readOne(owner, places, name);
  }
  watchFiles(owner: Account, places: Places, changed: () => void): void {
    this.files.watch(owner, places, changed);
  }

  openSocket(key: DaemonKey, group: string, descriptor: number): HeldSocket {
    const taken = this.takeSocket(key, group, descriptor);
    if (taken) return taken;
    const own = this.#leaders(key).some(isAlive);
    return this.#hold(key, openSocket(this.#socketPath(key), this.#groupId(group), own), true);
  }

  takeSocket(key: DaemonKey, group: string, descriptor: number): HeldSocket | undefined {
    const path = this.#socketPath(key);
    const gid = this.#groupId(group);
    const taken = this.#inherit(path, gid) ?? this.#takeFromRun(key, path, gid, descriptor);
    return taken && this.#hold(key, taken, false);
  }

  #socketPath({ owner, name }: DaemonKey): string {
    return join(this.#options.fastcgiDir, owner.name, `${name}.sock`);
  }

  #hold(key: DaemonKey, listening: ListeningSocket, fresh: boolean): Held {
    const { poller, report } = this.#options;
    const socket = new Held(listening, fresh, poller, (trouble) => {
      this.#sockets.delete(socket);
      if (trouble !== undefined) report(idOf(key), `cannot take its socket away: ${trouble}`);
    });
    this.#sockets.add(socket);
    return socket;
  }

  #inherit(path: string, gid: number): ListeningSocket | undefined {
    const fd = this.#options.inherited.get(path);
    this.#options.inherited.delete(path);
    return fd === undefined ? undefined : { fd, path, gid };
  }

  #takeFromRun(key: DaemonKey, path: string, gid: number, descriptor: number): ListeningSocket | undefined {
    for (const leader of this.#leaders(key)) {
      const socket = takeSocket(path, gid, leader, descriptor);
      if (socket) return socket;
    }
    return undefined;
  }

  #leaders(key: DaemonKey): ProcessIdentity[] {
    return this.#traces(key).flatMap(({ leader }) => leader ?? []);
  }

  openBinding(key: DaemonKey, group: string, binder: Account): BindingPlace {
    return new Binding({
      root: this.#options.fastcgiDir,
      owner: key.owner.name,
      name: key.name,
      group: this.#groupId(group),
      binder: this.identity(binder),
      snapshots: this.#snapshots,
      processes: () => this.#processesOf(key),
      budget: this.#budget(key, this.#publishing),
      counting: this.#budget(key, this.#counting),
    });
  }

  #processesOf(key: DaemonKey): ProcessIdentity[] {
    const ids = [...this.#remembered.values()].filter((other) => idOf(other.key) === idOf(key));
    const snapshot = readProcesses();
    return ids.flatMap((each) => {
      const leader = this.#runs.get(instanceId(each.key))?.leader;
      return leader ? findTree(leader, [], snapshot) : [];
    });
  }

  notifyPath(key: InstanceKey): string {
    return join(this.#options.runDir, "notify", key.owner.name, `${recordName(key)}.sock`);
  }

  /** Makes ready for another program in this process: it finds every run by its record, and is to get these sockets. */
  handOver(): ReadonlyMap<string, number> {
    this.writeRecords();
    for (const { chain } of this.#spares.values()) chain.discardNow();
    this.#spares.clear();
    return new Map([...this.#sockets].map(({ path, fd }) => [path, fd]));
  }

  #groupId(name: string): number {
    if (!privileged) return process.getegid?.() ?? 0;
    const group = this.accounts.groups.get(name);
    if (group) return group.gid;
    throw new Error(
      `there is no group "${name}" for the web server; create it (groupadd --system ${name}) or set nginx-group`,
    );
  }

  openLog(key: DaemonKey, writer: Account, logger: LaunchPlan, directory: string): HeldLog {
    const identity = this.identity(key.owner);
    makeOwnDirectory(key.owner, identity, directory, 0o700);
    requireWritable(key.owner.name, identity, directory);
    requireCompressor(logger);
    const fifo = fifoPath(this.#options.runDir, key.owner.name, key.name);
    const destination = { identity, directory };
    return this.#holdLog(key, { fifo, writer, logger: () => logger, containment: undefined, destination });
  }

  openServiceLog(key: DaemonKey, writer: Account, logger: LogPlan["logger"]): HeldLog {
    const { path } = this.#options.cgroups;
    const fifo = fifoPath(this.#options.runDir, key.owner.name, key.name);
    const group = (): string | undefined => {
      const made = path === undefined ? undefined : loggerGroup(path, key.owner.name, key.name);
      if (made !== undefined) this.#loggerGroups.set(idOf(key), made);
      return made;
    };
    return this.#holdLog(key, { fifo, writer, logger, containment: { group }, destination: undefined });
  }

  #holdLog(key: DaemonKey, plan: LogPlan): HeldLog {
    const id = idOf(key);
    const traces = this.#traces(key).find((each) => each.logger);
    const closed = this.#closing.get(id);
    const former = {
      logger: closed ? undefined : traces?.logger,
      signature: traces?.loggerSignature,
      dropped: this.#dropped.get(id) ?? traces?.dropped ?? 0,
      closed,
    };
    const surroundings = { poller: this.#options.poller, overflows: this.#overflows };
    const log = new Log(plan, former, surroundings, {
      report: (problem) => this.#options.report(id, problem),
      // The next supervisor must find the logger that there is, not the one that there was.
      replaced: () => {
        for (const last of this.#remembered.values()) if (idOf(last.key) === id) this.remember(last.key, last);
      },
    });
    this.#logs.set(id, log);
    return {
      loss: () => log.loss,
      follow: (next) => {
        requireCompressor(next);
        log.follow(next);
      },
      close: () => {
        this.#logs.delete(id);
        const closed = log
          .close()
          .catch((error) => this.#options.report(id, `closing its log: ${error.message ?? error}`));
        const over = closed.then(() => {
          if (this.#closing.get(id) === over) this.#closing.delete(id);
        });
        this.#dropped.set(id, log.loss.lines);
        this.#closing.set(id, over);
        return over;
      },
    };
  }

  makeGroup(key: InstanceKey, run: number, allotment: Allotment): string | undefined {
    const { cgroups } = this.#options;
    const spare = this.#spares.get(instanceId(key));
    const id = idOf(key);
    if (spare?.run === run && spare.chain.waits()) {
      // As long as it waits there its group is there, and those above it.
      if (this.#allotted.get(id) !== JSON.stringify(allotment)) this.allot(key, allotment);
      return spare.cgroup;
    }
    this.discard(key);
    this.#allotments.set(id, allotment);
    if (this.#allotted.get(id) !== JSON.stringify(allotment)) this.#allotted.delete(id);
    if (cgroups.path === undefined) return undefined;
    return makeGroup(cgroups, { owner: key.owner.name, daemon: key.name, run }, allotment);
  }

  get means(): Means {
    return this.#options.cgroups;
  }

  allot(key: DaemonKey, allotment: Allotment): void {
    const { cgroups } = this.#options;
    const id = idOf(key);
    this.#allotments.set(id, allotment);
    this.#allotted.delete(id);
    if (cgroups.path !== undefined) limitGroups(cgroups, { owner: key.owner.name, daemon: key.name }, allotment);
    this.#allotted.set(id, JSON.stringify(allotment));
  }

  sizes(
    wanted: readonly { readonly of: InstanceKey | Attendant; readonly doubtful: number }[],
  ): (number | undefined)[] {
    const runOf = (of: InstanceKey | Attendant): Run | undefined =>
      "instance" in of ? this.#runs.get(instanceId(of)) : this.#attending.get(of);
    const runs = wanted.map(({ of, doubtful }) => ({ run: runOf(of), doubtful }));
    // One look at /proc for all of them, where it takes one.
    try {
      const snapshot = runs.some(({ run }) => run && run.cgroup === undefined) ? readProcesses() : undefined;
      return runs.map(({ run, doubtful }) => run?.size(doubtful, snapshot));
    } catch {
      // For want of a descriptor nobody is found to have too much.
      return [];
    }
  }

  attendants(key: DaemonKey): readonly Attendant[] {
    const id = idOf(key);
    const logger = this.#logs.get(id)?.tenants;
    const found: (readonly [name: string, run: Run])[] = logger ? [["log/run", logger]] : [];
    for (const run of this.#finishes.get(id) ?? []) found.push(["finish", run]);
    return found.map(([name, run]) => {
      const attendant: Attendant = {
        end: (reason) => {
          this.#options.report(id, `its ${name} is killed: ${reason}`);
          run.kill();
        },
      };
      this.#attending.set(attendant, run);
      return attendant;
    });
  }

  launch(key: InstanceKey, plan: LaunchPlan, given: Surroundings, news: RunNews): LiveRun {
    const id = instanceId(key);
    const stdio = this.#stdio(key, given);
    const until = this.#until(key, given.finish, news);
    const spare = this.#spares.get(id);
    this.#spares.delete(id);
    if (spare && spare.signature !== signatureOf(plan, stdio)) {
      spare.chain.discard();
      throw new Error("what was prepared is out of date; the next try begins anew");
    }
    if (given.ready === "notify") {
      this.#notifications.get(id)?.();
      const { uid } = given.account;
      const close = awaitNotification(this.notifyPath(key), uid, this.#options.poller, () => until.ready());
      this.#notifications.set(id, close);
    }
    const run = spare?.chain.go(until) ?? launch(plan, stdio, given.cgroup, until);
    this.#runs.set(id, run);
    this.#listening.set(id, (given.socket as Held | undefined)?.file);
    return run;
  }

  prepare(key: InstanceKey, run: number, plan: LaunchPlan, given: Surroundings): void {
    const stdio = this.#stdio(key, given);
    const chain = prepare(plan, stdio, given.cgroup);
    this.#spares.set(instanceId(key), { run, cgroup: given.cgroup, signature: signatureOf(plan, stdio), chain });
  }

  discard(key: InstanceKey): void {
    const id = instanceId(key);
    this.#spares.get(id)?.chain.discard();
    this.#spares.delete(id);
  }

  #stdio(key: DaemonKey, given: Surroundings): Stdio {
    const socket = given.socket as Held | undefined;
    const isInput = given.input === "socket";
    return {
      input: isInput ? (socket?.fd ?? "ignore") : "ignore",
      output: given.log ? (this.#logs.get(idOf(key))?.fd ?? "ignore") : "ignore",
      socket: isInput ? undefined : socket?.fd,
      tells: given.ready.startsWith("fd:"),
      probe: this.#probe(key, given),
    };
  }

  #budget({ owner }: DaemonKey, budgets = this.#budgets): CpuBudget {
    const budget = budgets.get(owner.name) ?? new CpuBudget(LOOKING_SHARE, LOOKING_BURST);
    budgets.set(owner.name, budget);
    return budget;
  }

  /**
   * How clients of a run are looked for; undefined where it can have none.
   * @param file that its socket is bound to (fileNumber)
   */
  #probe(
    key: DaemonKey,
    { socket, binding }: Pick<Surroundings, "socket" | "binding">,
    file = (socket as Held | undefined)?.file ?? 0,
  ): ClientProbe | undefined {
    const budget = this.#budget(key);
    const held = socket as Held | undefined;
    if (held || file !== 0) {
      // Behind a new socket, whoever is connected to the one that it began with is its own.
      const clients = file === held?.file ? servesClient : hasClient;
      return { budget, look: (since) => clients(this.#snapshots, file, since) };
    }
    if (binding) return { budget, look: (since) => (binding.place as Binding).look(binding.run, since) };
    return undefined;
  }

  adopt(
    key: InstanceKey,
    record: InstanceRecord,
    held: Pick<Surroundings, "socket" | "binding" | "finish">,
    news: RunNews,
  ): LiveRun | undefined {
    const { leader, cgroup, socket } = record.traces as Traces;
    const until = this.#until(key, held.finish, news);
    const run = leader && adopt(leader, cgroup, this.#options.poller, until, this.#probe(key, held, socket));
    if (run) {
      this.#runs.set(instanceId(key), run);
      this.#listening.set(instanceId(key), socket);
    } else {
      setImmediate(() => {
        until.exited(undefined);
        if (leader) clear(leader, cgroup, () => until.gone(undefined));
        else until.gone(undefined);
      });
    }
    return run;
  }

  /**
   * Ends what an earlier supervisor left and nobody answers for: runs of daemons that are not known, whose files or owners'
   * grants have gone meanwhile, with their sockets, and what is in a cgroup that no run has.
   */
  killStrays(isKnown: (owner: string, name: string) => boolean): void {
    const { states, fastcgiDir } = this.#options;
    for (const owner of states.owners()) {
      for (const file of states.list(owner)) {
        const [name = ""] = file.split("#");
        if (isKnown(owner, name)) continue;
        const { traces } = (states.read(owner, file) ?? {}) as { traces?: Traces };
        if (traces?.leader) {
          if (isAlive(traces.leader))
            this.#options.report(`${owner}/${name}`, "ending it: its file, or its grant, is gone");
          clear(traces.leader, traces.cgroup, () => undefined);
        }
        this.#removeRecord(owner, file);
        const trouble = takeAway(join(fastcgiDir, owner, `${name}.sock`));
        if (trouble !== undefined) this.#options.report(`${owner}/${name}`, `cannot take its socket away: ${trouble}`);
      }
    }
    this.#killStrayGroups();
  }

  #killStrayGroups(): void {
    const { path } = this.#options.cgroups;
    if (path === undefined) return;
    const known = new Set([...this.#runs.values(), ...this.#spares.values()].map(({ cgroup }) => cgroup));
    for (const group of this.#loggerGroups.values()) known.add(group);
    for (const group of listGroups(path).filter((each) => !known.has(each))) {
      if (isPopulated(group)) this.#options.report(group, "killing what an earlier supervisor left in this cgroup");
      killGroup(group);
      removeGroup(group);
    }
  }

  #until(key: InstanceKey, finish: Finish | undefined, news: RunNews): RunNews {
    const id = instanceId(key);
    let last: RawExit;
    const deafen = (): void => {
      this.#notifications.get(id)?.();
      this.#notifications.delete(id);
    };
    return {
      waiting: (reason) => news.waiting(reason),
      launched: () => news.launched(),
      ready: () => news.ready(),
      exited: (exit) => {
        last = exit;
        deafen();
        news.exited(exit);
      },
      gone: () => {
        this.#runs.delete(id);
        this.#listening.delete(id);
        const tell = (code: number | undefined): void => {
          this.#settleLog(key);
          news.gone(code);
        };
        if (finish === undefined || last?.report) tell(undefined);
        else this.#runFinish(key, finish, last, tell);
      },
    };
  }

  /** A line that the last of its runs did not end is to be logged. */
  #settleLog(key: DaemonKey): void {
    const id = idOf(key);
    const log = this.#logs.get(id);
    const idle = (): boolean =>
      this.#logs.get(id) === log && ![...this.#runs.keys()].some((run) => run.split("#")[0] === id);
    if (!log || !idle()) return;
    log.settle(idle).catch((error) => this.#options.report(id, `its last line: ${error.message ?? error}`));
  }

  #runFinish(key: DaemonKey, finish: Finish, exit: RawExit, done: (code: number | undefined) => void): void {
    const { cgroups } = this.#options;
    const id = idOf(key);
    try {
      const group = { owner: key.owner.name, daemon: key.name, run: "finish" } as const;
      const allotment = this.#allotments.get(id) ?? NO_LIMITS;
      const cgroup = cgroups.path === undefined ? undefined : makeGroup(cgroups, group, allotment);
      const signal = exit?.signal === undefined ? 0 : signalNumber(exit.signal);
      const plan = finish({ code: exit?.code, signal }, cgroup);
      const finishes = this.#finishes.get(id) ?? new Set();
      this.#finishes.set(id, finishes);
      const run = runFinish(plan, this.#logs.get(id)?.fd ?? "ignore", cgroup, (code, report) => {
        finishes.delete(run);
        if (finishes.size === 0) this.#finishes.delete(id);
        if (report !== "") this.#options.report(id, `its finish was not begun: ${report.trim()}`);
        done(code);
      });
      finishes.add(run);
    } catch (error) {
      this.#options.report(id, `its finish cannot be run: ${error instanceof Error ? error.message : error}`);
      done(undefined);
    }
  }

  #traces(key: DaemonKey): Traces[] {
    return [...this.recall(key).values()].map(({ traces }) => traces as Traces);
  }

  recall({ owner, name }: DaemonKey): ReadonlyMap<number, InstanceRecord> {
    const numbers = this.#options.states.list(owner.name).flatMap((file) => {
      if (file === name) return 1;
      return file.startsWith(`${name}#`) ? Number(file.slice(name.length + 1)) : [];
    });
    const records = new Map<number, InstanceRecord>();
    for (const instance of numbers.sort((a, b) => a - b)) {
      const file = recordName({ owner, name, instance });
      const record = this.#options.states.read(owner.name, file) as InstanceRecord | undefined;
      if (!record) continue;
      const id = idOf({ owner, name });
      if (!this.#dropped.has(id)) this.#dropped.set(id, (record.traces as Traces).dropped ?? 0);
      records.set(instance, { ...record, dropped: this.#dropped.get(id) ?? 0 });
    }
    return records;
  }

  remember(key: InstanceKey, record: Omit<InstanceRecord, "traces">): void {
    if (this.#unwritten.size === 0) setImmediate(() => this.writeRecords());
    const remembered = { ...record, key };
    this.#unwritten.set(instanceId(key), remembered);
    this.#remembered.set(instanceId(key), remembered);
  }

  /** Writes what was to be remembered: in a moment, when whoever waits for a process has it, or when it is told to somebody. */
  writeRecords(): void {
    for (const [id, { key, ...record }] of this.#unwritten) {
      const run = this.#runs.get(id);
      const log = this.#logs.get(idOf(key));
      const traces: Traces = {
        leader: run?.leader,
        cgroup: run?.cgroup,
        socket: this.#listening.get(id),
        logger: log?.logger,
        loggerSignature: log?.signature,
        dropped: log?.loss.lines ?? this.#dropped.get(idOf(key)) ?? 0,
      };
      try {
        this.#options.states.write(key.owner.name, recordName(key), { ...record, traces } satisfies InstanceRecord);
      } catch (error) {
        // A full disk must not stop daemons; only a supervisor that dies now would find an old record.
        this.#options.report(id, `cannot write its state: ${error instanceof Error ? error.message : error}`);
      }
    }
    this.#unwritten.clear();
  }

  forget(key: InstanceKey): void {
    this.#unwritten.delete(instanceId(key));
    this.#remembered.delete(instanceId(key));
    this.#removeRecord(key.owner.name, recordName(key));
    if (![...this.#remembered.values()].some((other) => idOf(other.key) === idOf(key))) this.#dropped.delete(idOf(key));
  }

  #removeRecord(owner: string, file: string): void {
    try {
      this.#options.states.remove(owner, file);
    } catch (error) {
      const why = error instanceof Error ? error.message : error;
      this.#options.report(`${owner}/${file}`, `cannot remove its state: ${why}`);
    }
  }
}
