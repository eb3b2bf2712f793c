/** The machine that the supervisor runs on: its port, made of the resources of this folder. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Definition, Parsed } from "../core/definition.ts";
import type { LaunchPlan } from "../core/launch.ts";
import type { State } from "../core/lifecycle.ts";
import type { Account, AccountBase } from "../core/policy-rules.ts";
import type {
  DaemonKey,
  DaemonRecord,
  FoundFile,
  FoundFiles,
  Held,
  HeldLog,
  HeldSocket,
  LiveRun,
  Machine,
  RunNews,
} from "../machine.ts";
import { fileIdentity } from "./accounts.ts";
import { type CgroupRoot, isPopulated, killGroup, listGroups, makeGroup, removeGroup } from "./cgroup.ts";
import { type ConfDirectory, type ConfText, confPath, makeOwnDirectory, readConfDirectory } from "./conf-dir.ts";
import { ConfWatch } from "./conf-watch.ts";
import { type FileIdentity, keepOnExec } from "./libc.ts";
import { fifoPath, Log, requireCompressor, requireWritable } from "./log.ts";
import { OverflowWatch } from "./log-overflow.ts";
import { adopt, type Chain, clear, launch, prepare, type Run, type Stdio } from "./process.ts";
import type { ProcessIdentity } from "./process-table.ts";
import type { Readiness } from "./readiness.ts";
import {
  closeSocket,
  isPublished,
  type ListeningSocket,
  markSocket,
  observeSocket,
  openSocket,
  takeSocket,
} from "./socket.ts";
import type { StateFiles } from "./state-file.ts";
import { privileged } from "./tenant.ts";

/** What a machine is told from outside. */
export interface LinuxOptions {
  readonly runDir: string;
  readonly fastcgiDir: string;
  readonly states: StateFiles;
  readonly cgroups: CgroupRoot;
  readonly readiness: Readiness;
  /** Reads a conf file's text. */
  readonly parse: (text: string) => Parsed<Definition>;
  /** Writes a problem of a text as `path:line: text`. */
  readonly describe: (path: string, problem: { readonly line: number; readonly text: string }) => string;
  /** Sockets that the program before this one left in this process: their paths and descriptors. */
  readonly inherited: Map<string, number>;
  /** What the names of daemons look like. */
  readonly names: RegExp;
  /** Bytes of a conf file at most. */
  readonly largest: number;
  /** Conf files of one owner that are loaded at most. */
  readonly mostDaemons: number;
  /** Something that went wrong aside from any request. */
  readonly report: (id: string, problem: string) => void;
}

/** How a live run and its logger are found again. Plain data. */
interface Traces {
  readonly leader: ProcessIdentity | undefined;
  readonly cgroup: string | undefined;
  readonly logger: ProcessIdentity | undefined;
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
  createHash("sha256")
    .update(JSON.stringify([plan.argv, [...plan.environment], stdio]))
    .digest("base64");

const idOf = ({ owner, name }: DaemonKey): string => `${owner.name}/${name}`;

/** Linux, with or without root's powers. */
export class Linux implements Machine {
  readonly privileged = privileged;
  /** The machine's accounts; replaced when they are read again. */
  accounts: AccountBase = { users: new Map(), groups: new Map() };
  readonly #options: LinuxOptions;
  readonly #runs = new Map<string, Run>();
  readonly #logs = new Map<string, Log>();
  readonly #overflows = new OverflowWatch();
  /** Lines that logs now closed have dropped, and logs that are being closed. */
  readonly #dropped = new Map<string, number>();
  readonly #closing = new Map<string, Promise<void>>();
  readonly #spares = new Map<string, Spare>();
  readonly #remembered = new Map<string, Omit<DaemonRecord, "traces"> & { readonly key: DaemonKey }>();
  readonly #unwritten = new Map<string, Omit<DaemonRecord, "traces"> & { readonly key: DaemonKey }>();
  readonly #sockets = new Set<HeldSocket>();
  /** What files were understood as, by their paths: a text that is the same is not parsed again. */
  readonly #understood = new Map<string, FoundFile>();
  readonly #watches = new Map<string, ConfWatch>();

  constructor(options: LinuxOptions) {
    this.#options = options;
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

  readFiles(owner: Account, chain: readonly string[]): FoundFiles {
    const { files, ...rest } = this.#read(owner, chain);
    return { files: files.map((file) => this.#understand(file)), ...rest };
  }

  readFile(owner: Account, chain: readonly string[], name: string): FoundFile | undefined {
    const text = this.readText(owner, chain, name);
    return text && this.#understand(text);
  }

  watchFiles(owner: Account, chain: readonly string[], changed: () => void): void {
    const directory = chain.at(-1) ?? "/";
    const watch = this.#watches.get(owner.name) ?? new ConfWatch();
    this.#watches.set(owner.name, watch);
    watch.follow(this.identity(owner), directory, changed);
  }

  /** The text of one conf file, or why it cannot be read; undefined when there is no such file. */
  readText(owner: Account, chain: readonly string[], name: string): ConfText | undefined {
    const { files, problems } = this.#read(owner, chain, name);
    if (files[0] || problems.length === 0) return files[0];
    return { name, path: confPath(chain.at(-1) ?? "", name), text: undefined, problem: problems.join("; ") };
  }

  #read(owner: Account, chain: readonly string[], only?: string): ConfDirectory {
    const { names, largest, mostDaemons: most } = this.#options;
    const selection = { names, largest, most, ...(only !== undefined && { only }) };
    return readConfDirectory(owner, this.identity(owner), chain, selection);
  }

  #understand({ name, path, text, problem }: ConfText): FoundFile {
    const file = { name, path };
    if (text === undefined) {
      return {
        ...file,
        definition: undefined,
        errors: [`${path}: ${problem}`],
        warnings: [],
        fingerprint: `! ${problem}`,
      };
    }
    const fingerprint = createHash("sha256").update(text).digest("base64");
    const known = this.#understood.get(path);
    if (known?.fingerprint === fingerprint) return known;
    const { value, errors, warnings } = this.#options.parse(text);
    const describe = (what: { line: number; text: string }) => this.#options.describe(path, what);
    const understood = {
      ...file,
      definition: value,
      errors: errors.map(describe),
      warnings: warnings.map(describe),
      fingerprint,
    };
    this.#understood.set(path, understood);
    return understood;
  }

  openSocket(key: DaemonKey, group: string): HeldSocket {
    const path = join(this.#options.fastcgiDir, key.owner.name, `${key.name}.sock`);
    const taken = this.#inherit(path) ?? this.#takeFromRun(key, path);
    const socket = held(taken ?? openSocket(path, this.#groupId(group)), taken === undefined);
    this.#sockets.add(socket);
    return socket;
  }

  #inherit(path: string): ListeningSocket | undefined {
    const fd = this.#options.inherited.get(path);
    this.#options.inherited.delete(path);
    return fd === undefined ? undefined : { fd, path };
  }

  #takeFromRun(key: DaemonKey, path: string): ListeningSocket | undefined {
    const { leader } = this.#traces(key) ?? {};
    return leader && takeSocket(path, leader);
  }

  /** Makes ready for another program in this process: it finds every run by its record, and gets these sockets. */
  handOver(): ReadonlyMap<string, number> {
    this.#writeStates();
    for (const { chain } of this.#spares.values()) chain.discardNow();
    const sockets = [...this.#sockets].flatMap((socket) => {
      const fd = descriptors.get(socket);
      return fd === undefined ? [] : [[socket.path, fd] as const];
    });
    for (const [, fd] of sockets) keepOnExec(fd);
    return new Map(sockets);
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
    const id = idOf(key);
    const identity = this.identity(key.owner);
    makeOwnDirectory(key.owner, identity, directory, 0o700);
    requireWritable(identity, directory);
    requireCompressor(logger);
    const fifo = fifoPath(this.#options.runDir, key.owner.name, key.name);
    const plan = { fifo, writer, logger, owner: identity, directory };
    const traces = this.#traces(key);
    const closed = this.#closing.get(id);
    const former = {
      logger: closed ? undefined : traces?.logger,
      signature: traces?.loggerSignature,
      dropped: this.#dropped.get(id) ?? traces?.dropped ?? 0,
      closed,
    };
    const surroundings = { readiness: this.#options.readiness, overflows: this.#overflows };
    const log = new Log(plan, former, surroundings, {
      report: (problem) => this.#options.report(id, problem),
      // The next supervisor must find the logger that there is, not the one that there was.
      replaced: () => {
        const last = this.#remembered.get(id);
        if (last) this.remember(key, last.state, last.fingerprint);
      },
    });
    this.#logs.set(id, log);
    return {
      loss: () => log.loss,
      close: () => {
        this.#logs.delete(id);
        const over = log.close().then(() => {
          if (this.#closing.get(id) === over) this.#closing.delete(id);
        });
        this.#dropped.set(id, log.loss.lines);
        this.#closing.set(id, over);
        return over;
      },
    };
  }

  makeGroup(key: DaemonKey, run: number): string | undefined {
    const { path } = this.#options.cgroups;
    const spare = this.#spares.get(idOf(key));
    if (spare?.run === run && spare.chain.waits()) return spare.cgroup;
    this.discard(key);
    return path === undefined ? undefined : makeGroup(path, key.owner.name, key.name, run);
  }

  launch(key: DaemonKey, plan: LaunchPlan, given: Held, news: RunNews): LiveRun {
    const id = idOf(key);
    const stdio = this.#stdio(id, given);
    const until = this.#until(id, news);
    const spare = this.#spares.get(id);
    this.#spares.delete(id);
    if (spare && spare.signature !== signatureOf(plan, stdio)) {
      spare.chain.discard();
      throw new Error("what was prepared is out of date; the next try begins anew");
    }
    const run = spare?.chain.go(until) ?? launch(plan, stdio, given.cgroup, until);
    this.#runs.set(id, run);
    return run;
  }

  prepare(key: DaemonKey, run: number, plan: LaunchPlan, given: Held): void {
    const id = idOf(key);
    const stdio = this.#stdio(id, given);
    const chain = prepare(plan, stdio, given.cgroup);
    this.#spares.set(id, { run, cgroup: given.cgroup, signature: signatureOf(plan, stdio), chain });
  }

  discard(key: DaemonKey): void {
    const id = idOf(key);
    this.#spares.get(id)?.chain.discard();
    this.#spares.delete(id);
  }

  #stdio(id: string, given: Held): Stdio {
    return {
      input: given.socket ? descriptorOf(given.socket) : "ignore",
      output: given.log ? (this.#logs.get(id)?.fd ?? "ignore") : "ignore",
    };
  }

  adopt(key: DaemonKey, record: DaemonRecord, news: RunNews): LiveRun | undefined {
    const id = idOf(key);
    const { leader, cgroup } = record.traces as Traces;
    const until = this.#until(id, news);
    const run = leader && adopt(leader, cgroup, this.#options.readiness, until);
    if (run) this.#runs.set(id, run);
    else {
      setImmediate(() => {
        until.exited(undefined);
        if (leader) clear(leader, cgroup, () => until.gone());
        else until.gone();
      });
    }
    return run;
  }

  /** Kills what runs in a group that no known run has: left by a supervisor whose records or conf files are lost. */
  killStrays(): void {
    const { path } = this.#options.cgroups;
    if (path === undefined) return;
    const known = new Set([...this.#runs.values(), ...this.#spares.values()].map(({ cgroup }) => cgroup));
    for (const group of listGroups(path).filter((each) => !known.has(each))) {
      if (isPopulated(group)) this.#options.report(group, "killing what an earlier supervisor left in this cgroup");
      killGroup(group);
      removeGroup(group);
    }
  }

  #until(id: string, news: RunNews): RunNews {
    return {
      launched: () => news.launched(),
      exited: (exit) => news.exited(exit),
      gone: () => {
        this.#runs.delete(id);
        news.gone();
      },
    };
  }

  #traces(key: DaemonKey): Traces | undefined {
    return this.recall(key)?.traces as Traces | undefined;
  }

  recall({ owner, name }: DaemonKey): DaemonRecord | undefined {
    const record = this.#options.states.read(owner.name, name) as DaemonRecord | undefined;
    if (!record) return undefined;
    const id = idOf({ owner, name });
    if (!this.#dropped.has(id)) this.#dropped.set(id, (record.traces as Traces).dropped ?? 0);
    return { ...record, dropped: this.#dropped.get(id) ?? 0 };
  }

  remember(key: DaemonKey, state: State, fingerprint: string): void {
    if (this.#unwritten.size === 0) setImmediate(() => this.#writeStates());
    this.#unwritten.set(idOf(key), { key, state, fingerprint });
    this.#remembered.set(idOf(key), { key, state, fingerprint });
  }

  /** Writes what was to be remembered, when whoever waits for a process has it. */
  #writeStates(): void {
    for (const [id, { key, state, fingerprint }] of this.#unwritten) {
      const run = this.#runs.get(id);
      const log = this.#logs.get(id);
      const traces: Traces = {
        leader: run?.leader,
        cgroup: run?.cgroup,
        logger: log?.logger,
        loggerSignature: log?.signature,
        dropped: log?.loss.lines ?? this.#dropped.get(id) ?? 0,
      };
      try {
        this.#options.states.write(key.owner.name, key.name, { state, fingerprint, traces } satisfies DaemonRecord);
      } catch (error) {
        // A full disk must not stop daemons; only a supervisor that dies now would find an old record.
        this.#options.report(id, `cannot write its state: ${error instanceof Error ? error.message : error}`);
      }
    }
    this.#unwritten.clear();
  }

  forget(key: DaemonKey): void {
    const { owner, name } = key;
    this.#unwritten.delete(idOf(key));
    this.#dropped.delete(idOf(key));
    this.#remembered.delete(idOf(key));
    this.#options.states.remove(owner.name, name);
  }
}

const descriptors = new WeakMap<HeldSocket, number>();
const held = (socket: ListeningSocket, fresh: boolean): HeldSocket => {
  const handle: HeldSocket = {
    path: socket.path,
    fresh,
    intact: () => isPublished(socket),
    mark: () => markSocket(socket),
    observe: () => observeSocket(socket),
    close: () => {
      closeSocket(socket);
      descriptors.delete(handle);
    },
  };
  descriptors.set(handle, socket.fd);
  return handle;
};
const descriptorOf = (socket: HeldSocket): number | "ignore" => descriptors.get(socket) ?? "ignore";
