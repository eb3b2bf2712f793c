/** Launch chains: a plan's programs, which wait at the gate for the go signal before they become the daemon. */
import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import type { RunEvents } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { codeOf } from "../kernel/error-code.ts";
import { identify } from "../kernel/process-table.ts";
import { type ExitStatus, endedChild } from "../kernel/spawn.ts";
import { socketPair } from "../kernel/unix-socket.ts";
import { readPeak } from "../limits/usage.ts";
import { collect, spawnChild } from "./children.ts";
import { readReport } from "./launch-report.ts";
import { type BudgetedProbe, ProcessTree, type Run } from "./process-tree.ts";
import { signalName } from "./signals.ts";

/** Descriptors that a launched program gets. */
export interface Stdio {
  /** Descriptor 0. */
  readonly input: number | "ignore";
  /** Descriptors 1 and 2. */
  readonly output: number | "ignore";
  /** The listening socket, in the plan's slot for it. */
  readonly socket?: number | undefined;
  /** Whether it gets a connection on which it reports readiness, in the plan's slot for it. */
  readonly reportsReady?: boolean;
  readonly probe?: BudgetedProbe | undefined;
  /** Standard error of a logger, in the plan's slot for it. */
  readonly stderr?: number | undefined;
}

/** Bytes that are read of a process that reports readiness by a line. */
const LONGEST_READY_LINE = 4096;
/** /dev/null. */
const NOTHING = -1;
/** Errors of spawn(2) that may not occur again later. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]);
/** Time for a report after the process has ended. In ms. */
const LONGEST_REPORT = 200;

/** Our ends of a new chain's connections. */
interface Ends {
  readonly report: number;
  readonly gate: number;
  readonly ready: number | undefined;
}

/**
 * Spawns a chain, as the leader of a new session.
 * @throws errno errors
 */
const spawnChain = (
  plan: LaunchPlan,
  stdio: Stdio,
  ended: (how: ExitStatus) => void,
): Ends & { readonly pid: number } => {
  const { slots, file, argv, environment } = plan;
  const ours: number[] = [];
  const theirs: number[] = [];
  const connect = (): readonly [ours: number, theirs: number] => {
    const [our, their] = socketPair();
    ours.push(our);
    theirs.push(their);
    return [our, their];
  };
  try {
    const input = stdio.input === "ignore" ? NOTHING : stdio.input;
    const output = stdio.output === "ignore" ? NOTHING : stdio.output;
    const report = connect();
    const gate = connect();
    const ready = stdio.reportsReady ? connect() : undefined;
    const descriptors = new Map([
      [0, input],
      [1, output],
      [2, output],
      [slots.report, report[1]],
      [slots.gate, gate[1]],
    ]);
    if (stdio.socket !== undefined) descriptors.set(slots.socket, stdio.socket);
    if (ready) descriptors.set(slots.ready, ready[1]);
    if (stdio.stderr !== undefined) descriptors.set(slots.stderr, stdio.stderr);
    const pid = spawnChild({ file, argv, environment, descriptors }, ended);
    return { pid, report: report[0], gate: gate[0], ready: ready?.[0] };
  } catch (error) {
    for (const fd of ours) closeSync(fd);
    const code = codeOf(error);
    if (!EXHAUSTED.has(code)) throw error;
    throw Object.assign(new Error("cannot start a process: the limit on processes, memory or descriptors is reached"), {
      code: "EAGAIN",
    });
  } finally {
    for (const fd of theirs) closeSync(fd);
  }
};

/** A launch chain that waits at the gate, or has passed it. */
export class LaunchChain {
  readonly #tree: ProcessTree;
  readonly #report: Socket;
  readonly #limitLaunch: () => void;
  readonly #gone = Promise.withResolvers<void>();
  #gate: number | undefined;
  #ready: Socket | undefined;
  #events: RunEvents | undefined;
  /** Text of its report; undefined while that is open. */
  #failure: string | undefined;
  #end: ExitStatus | undefined;

  /**
   * Starts a plan's chain.
   * @throws errno errors when no process can be started
   */
  constructor(plan: LaunchPlan, stdio: Stdio, cgroup: string | undefined) {
    const { pid, report, gate, ready } = spawnChain(plan, stdio, (how) => this.#ended(how));
    this.#tree = new ProcessTree(identify(pid) ?? { pid, startTime: 0 }, cgroup, stdio.probe);
    this.#gate = gate;
    if (ready !== undefined) this.#ready = this.#readReadiness(ready);
    this.#report = new Socket({ fd: report, readable: true, writable: false });
    this.#limitLaunch = readReport(this.#report, {
      waiting: (reason) => this.#events?.waiting(reason),
      done: (text) => this.#reported(text),
    });
  }

  /** Resolves when no process of it is left and its cgroup is removed. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Sends the go signal: the chain becomes the daemon. undefined when it has ended already. */
  go(events: RunEvents): Run | undefined {
    if (this.#end !== undefined || this.#failure !== undefined || this.#gate === undefined) return undefined;
    this.#events = events;
    this.#limitLaunch();
    try {
      writeSync(this.#gate, "go\n");
    } catch {
      // It has just ended; `exited` follows.
    }
    this.#closeGate();
    return this.#tree;
  }

  /** Whether it waits at the gate. */
  waits(): boolean {
    return this.#end === undefined && this.#failure === undefined && endedChild(this.#tree.pid) === undefined;
  }

  /** Kills it. */
  discard(): void {
    this.#closeGate();
    this.#tree.kill();
  }

  /** Reaps it, if it has ended; returns whether it has. */
  reap(): boolean {
    return this.#end !== undefined || collect(this.#tree.pid);
  }

  #closeGate(): void {
    if (this.#gate !== undefined) closeSync(this.#gate);
    this.#gate = undefined;
  }

  #readReadiness(fd: number): Socket {
    const socket = new Socket({ fd, readable: true, writable: false });
    let left = LONGEST_READY_LINE;
    socket.on("error", () => undefined);
    socket.on("data", (text: Buffer) => {
      const isLine = text.subarray(0, left).includes("\n");
      left -= text.length;
      if (isLine) this.#events?.ready();
      if (isLine || left <= 0) socket.destroy();
    });
    return socket;
  }

  #reported(text: string): void {
    this.#failure = text;
    if (text === "" && this.#end === undefined) this.#events?.launched();
    this.#finish();
  }

  #ended(how: ExitStatus): void {
    this.#closeGate();
    // A process that inherited the other end must not delay the report of the exit.
    setTimeout(() => this.#report.destroy(), LONGEST_REPORT).unref();
    this.#ready?.destroy();
    this.#end = how;
    this.#finish();
  }

  #finish(): void {
    if (this.#failure === undefined || this.#end === undefined) return;
    const { cgroup } = this.#tree;
    const facts = { report: this.#failure, oomKilled: this.#tree.oomKilled(), peak: readPeak(cgroup) };
    this.#events?.exited({ ...endOf(this.#end), ...facts });
    this.#tree.awaitEmpty(() => {
      this.#events?.gone(undefined);
      this.#gone.resolve();
    });
  }
}

/** An end as `exited` reports it. */
export const endOf = (
  how: ExitStatus,
): { readonly code: number; readonly signal: undefined } | { readonly code: undefined; readonly signal: string } =>
  "code" in how ? { code: how.code, signal: undefined } : { code: undefined, signal: signalName(how.signal) };

/**
 * Launches a plan from the beginning.
 * @throws errno errors when no process can be started
 */
export const launch = (plan: LaunchPlan, stdio: Stdio, cgroup: string | undefined, events: RunEvents): Run => {
  const run = new LaunchChain(plan, stdio, cgroup).go(events);
  if (run) return run;
  throw Object.assign(new Error("the launch chain ended before the go signal"), { code: "ECHILD" });
};

/** Blocks this program. */
export const pause = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};
