/** The processes of one run, found by its cgroup, or by its session where there are no cgroups. */
import { constants } from "node:os";
import type { RunUsage } from "../../core/run-usage.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { LiveRun, RunTrace } from "../../engine/ports/runs.ts";
import { CpuBudget } from "../kernel/cpu-budget.ts";
import {
  findTree,
  hasSession,
  identify,
  isAlive,
  processesThisTurn,
  readProcesses,
  type Snapshot,
} from "../kernel/process-table.ts";
import { signalProcess } from "../kernel/signal-process.ts";
import { groupMembers, isPopulated, killGroup, removeGroup } from "../limits/cgroup.ts";
import { readMemoryEnd, readSize, readUsage } from "../limits/usage.ts";
import { anyOf, type ClientProbe } from "../sockets/client-probe.ts";
import { drain } from "./draining.ts";

/** A client probe and the processor time for it. */
export interface BudgetedProbe extends ClientProbe {
  readonly budget: CpuBudget;
}

/** A run; `leader` is its main process. */
export interface Run extends LiveRun {
  readonly trace: RunTrace;
  readonly leader: ProcessIdentity;
  /** Its cgroup, where there are cgroups. */
  readonly cgroup: string | undefined;
  /** RunTrace.socketFile */
  socketFile: number | undefined;
}

/** More processes than this are not searched for clients. */
const MOST_SEARCHED = 1000;
/** For a run that has no clients. */
const NO_PROBE: BudgetedProbe = { look: () => () => false, budget: new CpuBudget(0, Number.POSITIVE_INFINITY) };
/** First and longest interval between two looks at whether a tree is empty. In ms. */
const FIRST_LOOK = 2;
const SLOWEST_LOOK = 100;

export class ProcessTree implements Run {
  readonly leader: ProcessIdentity;
  readonly cgroup: string | undefined;
  socketFile: number | undefined;
  readonly #probe: BudgetedProbe;
  #known: ProcessIdentity[] = [];
  /** Whether the leader's session may still have processes; afterwards another session can get its number. */
  #leads = true;
  #stopDraining: (() => void) | undefined;
  #isKilled = false;
  #hasEnded = false;
  /** Its cgroup is empty: no other process can join it. */
  #isOver = false;

  constructor(leader: ProcessIdentity, cgroup: string | undefined, probe: BudgetedProbe = NO_PROBE) {
    this.leader = leader;
    this.cgroup = cgroup;
    this.#probe = probe;
  }

  get pid(): number {
    return this.leader.pid;
  }
  get trace(): RunTrace {
    const { leader, cgroup, socketFile } = this;
    return { leader, cgroup, socketFile };
  }

  #members(snapshot?: Snapshot): ProcessIdentity[] {
    if (this.cgroup !== undefined) {
      const joined = groupMembers(this.cgroup).filter((pid) => pid !== this.leader.pid);
      // The leader counts even before it has joined.
      return [this.leader, ...joined.flatMap((pid) => identify(pid) ?? [])].filter(isAlive);
    }
    try {
      this.#known = findTree(this.leader, this.#known, snapshot, this.#leads);
    } catch {
      // No descriptor for /proc: the result of the last search stays.
    }
    return this.#known;
  }

  /** To be called only when the leader has ended. */
  #isEmpty(): boolean {
    if (this.cgroup !== undefined) {
      this.#isOver ||= !isPopulated(this.cgroup);
      return this.#isOver;
    }
    let snapshot: Snapshot;
    try {
      snapshot = readProcesses();
    } catch {
      return false;
    }
    this.#leads &&= hasSession(this.leader, snapshot);
    return this.#members(snapshot).length === 0;
  }

  /** Its processes; undefined where there are too many to search, or none can be found. */
  #searchable(): ProcessIdentity[] | undefined {
    if (this.cgroup !== undefined && groupMembers(this.cgroup).length > MOST_SEARCHED) return undefined;
    const members = this.#members();
    return members.length === 0 || members.length > MOST_SEARCHED ? undefined : members;
  }

  serves(): boolean | undefined {
    const { budget } = this.#probe;
    if (budget.balance <= 0) return undefined;
    return budget.charge(() => {
      const members = this.#searchable();
      return members && anyOf(members, this.#probe.look());
    });
  }

  usage(): RunUsage {
    return readUsage(this.cgroup, this.#members());
  }

  size(doubtful: number): number | undefined {
    try {
      return readSize(this.#members(this.cgroup === undefined ? processesThisTurn() : undefined), doubtful);
    } catch {
      // No descriptor for /proc.
      return undefined;
    }
  }

  drain(): void {
    const { look, budget } = this.#probe;
    this.#stopDraining ??= drain({
      main: this.leader,
      members: () => this.#searchable(),
      signal: signalProcess,
      look,
      budget,
    });
  }

  signal(signal: number): void {
    signalProcess(this.leader, signal);
  }

  signalAll(signal: number): void {
    for (const member of this.#members()) signalProcess(member, signal);
    // Only then: a process that draining has stopped gets the signal before it runs again and could accept a client.
    if (signal !== constants.signals.SIGCONT) this.#stopDraining?.();
  }

  kill(): void {
    this.#isKilled = true;
    if (this.cgroup !== undefined && this.#hasEnded && this.#isEmpty()) return;
    if (this.cgroup === undefined || !killGroup(this.cgroup)) this.signalAll(constants.signals.SIGKILL);
    else if (!this.#hasEnded) this.signal(constants.signals.SIGKILL);
    this.#stopDraining?.();
  }

  memoryEnd(): ReturnType<typeof readMemoryEnd> {
    return readMemoryEnd(this.cgroup);
  }

  /** Its main process has ended. */
  ended(): void {
    this.#hasEnded = true;
  }

  /** Kills what is left of the tree; calls `gone` when no process is left. */
  clear(gone: () => void): void {
    if (!this.#isEmpty()) this.kill();
    this.awaitEmpty(gone);
  }

  /** Calls `gone` when no process is left, at once or later, and removes the cgroup. */
  awaitEmpty(gone: () => void, wait = FIRST_LOOK): void {
    if (this.#isEmpty()) {
      this.#stopDraining?.();
      gone();
      if (this.cgroup !== undefined) removeGroup(this.cgroup);
      return;
    }
    // cgroup.kill passes over a process whose first thread has ended.
    if (this.#isKilled) this.signalAll(constants.signals.SIGKILL);
    setTimeout(() => this.awaitEmpty(gone, Math.min(wait * 2, SLOWEST_LOOK)), wait);
  }
}
