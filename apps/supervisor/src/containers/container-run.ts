/** One run in a container: its processes, as far as this machine sees them, and signals by the shim of the container. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import type { RunUsage } from "../core/run-usage.ts";
import type { ProcessIdentity } from "../engine/ports/processes.ts";
import type { RunTrace } from "../engine/ports/runs.ts";
import { findTree, identify, readProcesses, type Snapshot } from "../os/kernel/process-table.ts";
import { signalProcess } from "../os/kernel/signal-process.ts";
import { readMemoryEnd, readSize, readUsage } from "../os/limits/usage.ts";
import { drain } from "../os/processes/draining.ts";
import type { BudgetedProbe, Run } from "../os/processes/process-tree.ts";
import type { ShimRun } from "../os/shim/objects.ts";
import { anyOf } from "../os/sockets/client-probe.ts";
import type { Guest } from "./guest.ts";

const { SIGKILL, SIGTERM, SIGCONT } = constants.signals;
/** From KILL until the container itself is ended, where processes of it are left. In ms. */
const LONGEST_KILL = 5000;
/** More processes than this are not searched for clients. */
const MOST_SEARCHED = 1000;

/** The run of a container that cannot be reached: it is being made. */
interface ContainerRunOptions {
  /** Name of the run. */
  readonly name: string;
  /** Cgroup of its container, where that is in one of ours. */
  readonly cgroup: string | undefined;
  readonly probe: BudgetedProbe | undefined;
  readonly socketFile: number | undefined;
  /** Called where it is to end before it was launched, with the number of the signal. */
  readonly abort: (signal: number) => void;
}

export class ContainerRun implements Run {
  readonly name: string;
  readonly cgroup: string | undefined;
  socketFile: number | undefined;
  leader: ProcessIdentity = { pid: 0, startTime: 0 };
  /** Whether a signal that is to end it was sent: a later run gets another container. */
  isDismissed = false;
  readonly #guest: Guest;
  readonly #options: ContainerRunOptions;
  #isLaunched = false;
  #isEmpty = false;
  #memoryEnd: ReturnType<typeof readMemoryEnd> | undefined;
  #emptied: (() => void) | undefined;
  #stopDraining: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(guest: Guest, options: ContainerRunOptions) {
    this.#guest = guest;
    this.#options = options;
    this.name = options.name;
    this.cgroup = options.cgroup;
    this.socketFile = options.socketFile;
  }

  get pid(): number {
    return this.leader.pid;
  }
  get trace(): RunTrace {
    const { leader, cgroup, socketFile } = this;
    // No process of a container has pid 1 but its shim.
    return { leader: { ...leader, pid: Math.max(leader.pid, 2) }, cgroup, socketFile, container: this.#guest.made };
  }

  /** Its state now. */
  changed({ pid, state, left }: ShimRun): void {
    this.#isLaunched = true;
    if (this.leader.startTime === 0 && state !== "exited") this.leader = this.#seen(pid) ?? { pid, startTime: 0 };
    if (state === "exited" && !left) this.#becomeEmpty();
  }
  /** Its container has ended. @param oomKilled whether because of its memory limit, as far as the engine knows */
  vanished(oomKilled: boolean): void {
    const end = readMemoryEnd(this.cgroup ?? this.#guest.memoryGroup);
    this.#memoryEnd = { ...end, oomKilled: end.oomKilled || oomKilled };
    this.#becomeEmpty();
  }
  #becomeEmpty(): void {
    this.#isEmpty = true;
    clearTimeout(this.#timer);
    this.#stopDraining?.();
    this.#emptied?.();
    this.#emptied = undefined;
  }

  /** The process with this pid in the container, as this machine has it. Only a child of its process 1 can be it. */
  #seen(inside: number): ProcessIdentity | undefined {
    const { pid } = this.#guest;
    if (pid === 0) return undefined;
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").map(Number);
      return identify(children.find((child) => child > 1 && innermostPid(child) === inside) ?? 0);
    } catch {
      return undefined;
    }
  }

  /** All processes of the container but its shim; none where this machine does not see them. */
  #members(): readonly ProcessIdentity[] {
    const first = identify(this.#guest.pid);
    if (first === undefined) return [];
    let rows: Snapshot;
    try {
      rows = readProcesses();
    } catch {
      return [];
    }
    return findTree(first, [], rows, false).filter(({ pid }) => pid !== first.pid);
  }

  serves(): boolean | undefined {
    const { probe } = this.#options;
    if (probe === undefined) return false;
    if (probe.budget.balance <= 0) return undefined;
    return probe.budget.charge(() => {
      const members = this.#members();
      return members.length === 0 || members.length > MOST_SEARCHED ? undefined : anyOf(members, probe.look());
    });
  }

  usage(): RunUsage {
    return readUsage(this.cgroup, this.#members());
  }

  size(doubtful: number): number | undefined {
    const members = this.#members();
    return members.length === 0 ? undefined : readSize(members, doubtful);
  }

  memoryEnd(): ReturnType<typeof readMemoryEnd> {
    return this.#memoryEnd ?? readMemoryEnd(this.cgroup ?? this.#guest.memoryGroup);
  }

  drain(): void {
    this.isDismissed = true;
    const { probe } = this.#options;
    // Where nobody sees its processes, or who their clients are, it is only requested to end.
    if (probe === undefined || this.#members().length === 0) {
      this.#send(SIGTERM, true);
      return;
    }
    this.#stopDraining ??= drain({
      main: this.leader,
      members: () => this.#members(),
      signal: signalProcess,
      look: (since) => probe.look(since),
      budget: probe.budget,
    });
  }

  signal(signal: number): void {
    this.#send(signal, false);
  }

  signalAll(signal: number): void {
    if (this.#isEmpty) return;
    if (signal === SIGTERM || signal === SIGKILL) this.isDismissed = true;
    this.#send(signal, true);
    if (signal !== SIGCONT) this.#stopDraining?.();
  }

  kill(): void {
    if (this.#isEmpty) return;
    this.isDismissed = true;
    this.#send(SIGKILL, true);
    this.#stopDraining?.();
    this.#timer ??= setTimeout(() => this.#guest.kill(), LONGEST_KILL);
  }

  /** Its main process has ended. */
  ended(): void {
    // What is left may be told to end, as for a run outside of a container; no other run can begin before.
  }

  awaitEmpty(gone: () => void): void {
    if (this.#isEmpty) gone();
    else this.#emptied = gone;
  }

  #send(signal: number, all: boolean): void {
    if (this.#isEmpty) return;
    if (this.#isLaunched) this.#guest.shim?.signal(this.name, signal, all);
    else if (signal === SIGTERM || signal === SIGKILL) this.#options.abort(signal);
  }
}

/** The pid of a process in its own pid namespace. */
const innermostPid = (pid: number): number =>
  Number(/^NSpid:.*\s(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
