/** One run: a process tree from its launch until nothing of it is left. Tells what happens; decides nothing. */
import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import type { ClientProbe, LiveRun, ProcessIdentity, RunNews, RunUsage } from "../../engine/ports/runs.ts";
import type { LaunchPlan } from "../../launch/plan.ts";
import { CpuBudget } from "../kernel/cpu-budget.ts";
import { endedChild, openPidfd, reap, sendSignal, socketPair } from "../kernel/libc.ts";
import type { Poller } from "../kernel/poller.ts";
import {
  findTree,
  hasSession,
  identify,
  isAlive,
  processesThisTurn,
  readProcesses,
  type Snapshot,
} from "../kernel/process-table.ts";
import { groupMembers, hasStarved, isPopulated, killGroup, removeGroup } from "../limits/cgroup.ts";
import { readPeak, readSize, readUsage } from "../limits/usage.ts";
import { anyOf } from "../sockets/client-probe.ts";
import { begin, collect, type Ended } from "./children.ts";
import { drain } from "./draining.ts";

/** Descriptors that a launched program gets. */
export interface Stdio {
  /** As 0. */
  readonly input: number | "ignore";
  /** As 1 and 2. */
  readonly output: number | "ignore";
  /** At the plan's slot for it. */
  readonly socket?: number | undefined;
  /** Whether it gets the end of a pipe, at the plan's slot for it, to tell that it is ready. */
  readonly tells?: boolean;
  readonly probe?: BudgetedProbe | undefined;
  /** At the plan's slot for it. */
  readonly complaints?: number | undefined;
}

/** A probe, and the processor time that may be spent on it. */
export interface BudgetedProbe extends ClientProbe {
  readonly budget: CpuBudget;
}

/** A run that lives, or did: `leader` is its main process. */
export interface Run extends Omit<LiveRun, "trace"> {
  readonly leader: ProcessIdentity;
  /** cgroup of its own, where there are cgroups. */
  readonly cgroup: string | undefined;
}

const LONGEST_REPORT = 4096;
/**
 * What is read of a report, in bytes. The stages outside of a jail write far less; its shell, which holds the same descriptor
 * until it has become the daemon, may be a program of the tenant's.
 */
const MOST_REPORTED = 65_536;
/**
 * How long a launch may take from its word, besides what it says that it waits for; a program that holds the descriptor of
 * the report for longer has been begun some other way. In ms; reading variables may take 10 s of it.
 */
const LONGEST_LAUNCH = 15_000;
/** What is read, at most, of a process that is to tell by a line that it is ready. In bytes. */
const LONGEST_TELLING = 4096;
/** Processes of one run that are looked at for clients, at most. */
const CROWD = 1000;
/** Of a run that nobody can be a client of. */
const NO_PROBE: BudgetedProbe = { look: () => () => false, budget: new CpuBudget(0, Number.POSITIVE_INFINITY) };
/** How a line of a report begins that tells what is waited for, and no failure (launch/stages.ts: NOTICE). */
const NOTICE = "~";
/** Where a chain reports, and where it is given its word (launch/stages.ts). */
const REPORT = 3;
const GATE = 4;
/** In place of a descriptor. */
const NOTHING = -1;
/** Why no process could be made that could be another time. */
const EXHAUSTED: ReadonlySet<string> = new Set(["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"]);
const FIRST_LOOK = 2;
const SLOWEST_LOOK = 100;
/** How long the end of a process that was killed is waited for. In ms. */
const LONGEST_WAIT = 200;

/** Signals one process, unless its pid has become another's meanwhile. */
const signalProcess = (process: ProcessIdentity, signal: number): void => {
  let pidfd: number;
  try {
    pidfd = openPidfd(process.pid);
  } catch {
    return;
  }
  try {
    if (isAlive(process)) sendSignal(pidfd, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  } finally {
    closeSync(pidfd);
  }
};

/** The processes of a run, by its cgroup where it has one. */
class Tree {
  readonly leader: ProcessIdentity;
  readonly cgroup: string | undefined;
  readonly #probe: BudgetedProbe;
  #known: ProcessIdentity[] = [];
  /** Whether the leader's session may still have processes: once it has not, its number may become another's. */
  #leads = true;
  #stopDraining: (() => void) | undefined;
  #isKilled = false;

  constructor(leader: ProcessIdentity, cgroup: string | undefined, probe: BudgetedProbe = NO_PROBE) {
    this.leader = leader;
    this.cgroup = cgroup;
    this.#probe = probe;
  }

  members(snapshot?: Snapshot): ProcessIdentity[] {
    if (this.cgroup !== undefined) {
      const joined = groupMembers(this.cgroup).filter((pid) => pid !== this.leader.pid);
      // The leader is named besides: it may not have come as far as joining.
      return [this.leader, ...joined.flatMap((pid) => identify(pid) ?? [])].filter(isAlive);
    }
    try {
      this.#known = findTree(this.leader, this.#known, snapshot, this.#leads);
    } catch {
      // For want of a descriptor: those of the last look.
    }
    return this.#known;
  }

  /** For when the leader has ended. */
  isEmpty(): boolean {
    if (this.cgroup !== undefined) return !isPopulated(this.cgroup);
    let snapshot: Snapshot;
    try {
      snapshot = readProcesses();
    } catch {
      return false;
    }
    this.#leads &&= hasSession(this.leader, snapshot);
    return this.members(snapshot).length === 0;
  }

  /** Its processes; undefined where they are so many that they are not looked at, or cannot be. */
  #few(): ProcessIdentity[] | undefined {
    if (this.cgroup !== undefined && groupMembers(this.cgroup).length > CROWD) return undefined;
    const members = this.members();
    return members.length === 0 || members.length > CROWD ? undefined : members;
  }

  serves(): boolean | undefined {
    const { budget } = this.#probe;
    if (budget.balance <= 0) return undefined;
    return budget.charge(() => {
      const members = this.#few();
      return members && anyOf(members, this.#probe.look());
    });
  }

  usage(): RunUsage {
    return readUsage(this.cgroup, this.members());
  }

  size(doubtful: number): number | undefined {
    try {
      return readSize(this.members(this.cgroup === undefined ? processesThisTurn() : undefined), doubtful);
    } catch {
      // Without a descriptor nothing is found to be too large.
      return undefined;
    }
  }

  oomKilled(): boolean {
    return this.cgroup !== undefined && hasStarved(this.cgroup);
  }

  drain(): void {
    const { look, budget } = this.#probe;
    this.#stopDraining ??= drain({
      main: this.leader,
      members: () => this.#few(),
      signal: signalProcess,
      look,
      budget,
    });
  }

  signalAll(signal: number): void {
    for (const member of this.members()) signalProcess(member, signal);
    // Afterwards: who is held gets it without having run again, and takes no client that it would cut off.
    if (signal !== constants.signals.SIGCONT) this.#stopDraining?.();
  }

  kill(): void {
    this.#isKilled = true;
    if (this.cgroup === undefined || !killGroup(this.cgroup)) this.signalAll(constants.signals.SIGKILL);
    else signalProcess(this.leader, constants.signals.SIGKILL);
    this.#stopDraining?.();
  }

  /** Calls `gone` as soon as no process is left: at once, or at a later look. */
  awaitEmpty(gone: () => void, wait = FIRST_LOOK): void {
    if (this.isEmpty()) {
      this.#stopDraining?.();
      gone();
      if (this.cgroup !== undefined) removeGroup(this.cgroup);
      return;
    }
    // The kernel's cgroup.kill passes over a process whose first thread has ended.
    if (this.#isKilled) this.signalAll(constants.signals.SIGKILL);
    setTimeout(() => this.awaitEmpty(gone, Math.min(wait * 2, SLOWEST_LOOK)), wait);
  }
}

const runOf = (tree: Tree): Run => ({
  pid: tree.leader.pid,
  leader: tree.leader,
  cgroup: tree.cgroup,
  signalAll: (signal) => tree.signalAll(signal),
  signal: (signal) => signalProcess(tree.leader, signal),
  drain: () => tree.drain(),
  serves: () => tree.serves(),
  kill: () => tree.kill(),
  usage: () => tree.usage(),
  size: (doubtful) => tree.size(doubtful),
});

/** The reading of a report. */
interface Report {
  /** From now on it may take so long and no longer. */
  readonly watch: () => void;
}

/**
 * Reads what a chain says on its way. `done` is called once, with what it said of its failure; "" where the descriptor was
 * closed without, or was written to or held in a way that no stage does.
 */
const readReport = (report: Readable, notice: (text: string) => void, done: (text: string) => void): Report => {
  let text = "";
  let line = "";
  let left = MOST_REPORTED;
  let timer: NodeJS.Timeout | undefined;
  const giveUp = (): void => {
    text = "";
    line = "";
    report.destroy();
  };
  const watch = (): void => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, LONGEST_LAUNCH);
  };
  report.setEncoding("utf8");
  report.on("data", (chunk: string) => {
    left -= chunk.length;
    if (left < 0) {
      giveUp();
      return;
    }
    const lines = (line + chunk).split("\n");
    line = (lines.pop() ?? "").slice(0, LONGEST_REPORT);
    for (const each of lines) {
      if (each.startsWith(NOTICE)) {
        const waitsFor = each.slice(NOTICE.length, LONGEST_REPORT);
        if (waitsFor === "") watch();
        else clearTimeout(timer);
        notice(waitsFor);
      } else text = `${text}${each}\n`.slice(0, LONGEST_REPORT);
    }
  });
  report.on("error", () => undefined);
  report.on("close", () => {
    clearTimeout(timer);
    done(text + line);
  });
  return { watch };
};

/** A launch that waits for its word to go on (see launch/plan.ts). */
export interface Chain {
  /** Lets it become the daemon; undefined when it has ended meanwhile. */
  go(news: RunNews): Run | undefined;
  /** Whether it still waits for its word. */
  waits(): boolean;
  /** Ends it. */
  discard(): void;
  /** Ends it and waits for that, so that no remains of it are left to a program that takes this one's place. */
  discardNow(): void;
}

/**
 * Begins to launch a plan, as the leader of a session of its own.
 * @throws errno errors when no process could be made
 */
export const prepare = (plan: LaunchPlan, stdio: Stdio, cgroup: string | undefined): Chain => {
  const { slots, file, argv, environment } = plan;
  const mine: number[] = [];
  const theirs: number[] = [];
  const connect = (): number => {
    const [own, other] = socketPair();
    mine.push(own);
    theirs.push(other);
    return other;
  };
  let news: RunNews | undefined;
  let report: string | undefined;
  let end: { code: number; signal: undefined } | { code: undefined; signal: string } | undefined;
  let pid: number;
  try {
    const output = stdio.output === "ignore" ? NOTHING : stdio.output;
    const input = stdio.input === "ignore" ? NOTHING : stdio.input;
    const descriptors = new Map([
      [0, input],
      [1, output],
      [2, output],
      [REPORT, connect()],
      [GATE, connect()],
    ]);
    if (stdio.socket !== undefined) descriptors.set(slots.socket, stdio.socket);
    if (stdio.tells) descriptors.set(slots.ready, connect());
    if (stdio.complaints !== undefined) descriptors.set(slots.complaints, stdio.complaints);
    pid = begin({ file, argv, environment, descriptors }, (how) => ended(how));
  } catch (error) {
    for (const fd of mine) closeSync(fd);
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!EXHAUSTED.has(code)) throw error;
    throw Object.assign(new Error("no process could be made: the limit on processes or memory is reached"), {
      code: "EAGAIN",
    });
  } finally {
    for (const fd of theirs) closeSync(fd);
  }
  const tree = new Tree(identify(pid) ?? { pid, startTime: 0 }, cgroup, stdio.probe);
  const [reportEnd = 0, gateEnd = 0, tellingEnd] = mine;
  const reports = new Socket({ fd: reportEnd, readable: true, writable: false });
  let gate: number | undefined = gateEnd;
  const closeGate = (): void => {
    if (gate !== undefined) closeSync(gate);
    gate = undefined;
  };
  const tells = tellingEnd === undefined ? undefined : new Socket({ fd: tellingEnd, readable: true, writable: false });
  tells?.on("error", () => undefined);
  let left = LONGEST_TELLING;
  tells?.on("data", (text: Buffer) => {
    const isLine = text.subarray(0, left).includes("\n");
    left -= text.length;
    if (isLine) news?.ready();
    if (isLine || left <= 0) tells.destroy();
  });
  const finish = () => {
    if (report === undefined || end === undefined) return;
    news?.exited({ ...end, report, oomKilled: tree.oomKilled(), peak: readPeak(cgroup) });
    tree.awaitEmpty(() => news?.gone(undefined));
  };
  const told = (text: string) => {
    report = text;
    if (text === "" && end === undefined) news?.launched();
    finish();
  };
  const { watch } = readReport(reports, (reason) => news?.waiting(reason), told);
  const ended = (how: Ended): void => {
    closeGate();
    // Whoever got hold of its other end must not keep the end of the process from being known.
    setTimeout(() => reports.destroy(), LONGEST_WAIT).unref();
    tells?.destroy();
    end = "code" in how ? { code: how.code, signal: undefined } : { code: undefined, signal: signalName(how.signal) };
    finish();
  };
  return {
    go: (listener) => {
      if (end !== undefined || report !== undefined || gate === undefined) return undefined;
      news = listener;
      watch();
      try {
        writeSync(gate, "go\n");
      } catch {
        // It has just ended, which is told in a moment.
      }
      closeGate();
      return runOf(tree);
    },
    waits: () => end === undefined && report === undefined && endedChild(pid) === undefined,
    discard: () => {
      closeGate();
      tree.kill();
    },
    discardNow: () => {
      tree.kill();
      signalProcess(tree.leader, constants.signals.SIGKILL);
      for (let look = 0; look < LONGEST_WAIT && end === undefined && !collect(pid); look += 1) pause(1);
    },
  };
};

/**
 * Launches a plan.
 * @throws errno errors when no process could be made
 */
export const launch = (plan: LaunchPlan, stdio: Stdio, cgroup: string | undefined, news: RunNews): Run => {
  const run = prepare(plan, stdio, cgroup).go(news);
  if (run) return run;
  throw Object.assign(new Error("its process ended before it began"), { code: "ECHILD" });
};

const pause = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
};

/** 9 for SIGKILL; 0 for a name that this machine does not know. */
export const signalNumber = (name: string): number =>
  new Map(Object.entries(constants.signals)).get(name as never) ?? 0;

/** SIGKILL for 9. */
const signalName = (number: number): string =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;

/** Takes up a run that an earlier supervisor launched; undefined when its main process is no more. */
export const adopt = (
  leader: ProcessIdentity,
  cgroup: string | undefined,
  poller: Poller,
  news: RunNews,
  probe?: BudgetedProbe,
): Run | undefined => {
  let pidfd: number;
  try {
    pidfd = openPidfd(leader.pid);
  } catch {
    return undefined;
  }
  if (!isAlive(leader)) {
    closeSync(pidfd);
    return undefined;
  }
  const tree = new Tree(leader, cgroup, probe);
  poller.once(pidfd, () => {
    closeSync(pidfd);
    const status = reap(leader.pid);
    if (status === undefined) news.exited(undefined);
    else {
      const surroundings = { report: "", oomKilled: tree.oomKilled(), peak: readPeak(cgroup) };
      if ("code" in status) news.exited({ code: status.code, signal: undefined, ...surroundings });
      else news.exited({ code: undefined, signal: signalName(status.signal), ...surroundings });
    }
    tree.awaitEmpty(() => news.gone(undefined));
  });
  return runOf(tree);
};

/** Kills what an earlier supervisor's run left behind; calls `gone` when nothing of it is left. */
export const clear = (leader: ProcessIdentity, cgroup: string | undefined, gone: () => void): void => {
  const tree = new Tree(leader, cgroup);
  if (!tree.isEmpty()) tree.kill();
  tree.awaitEmpty(gone);
};
