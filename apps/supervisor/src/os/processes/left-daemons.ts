/**
 * Ends what supervisors have left that can do that no more: they were killed, or their policy is refused. Needs neither policy nor
 * conf files, so that it always works: whatever descends from the shim belongs to a daemon.
 */
import { rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CONTROLLERS } from "../../core/resource-limits.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { isInstanceRecord } from "../files/instance-record.ts";
import { StateFiles } from "../files/state-file.ts";
import { findTree, identify, isAlive, readProcesses } from "../kernel/process-table.ts";
import { signalProcess } from "../kernel/signal-process.ts";
import { killGroup } from "../limits/cgroup.ts";
import { knownCgroupRoot } from "../limits/cgroup-root.ts";
import type { ShimLink } from "../shim/link.ts";
import { fifoOfLogger } from "../shim/names.ts";
import { connectShim } from "../shim/open-shim.ts";
import { lastShim } from "./last-shim.ts";
import { endShim } from "./own-shim.ts";

/** Times that the parts of the end may take. In ms. */
interface Times {
  /** For each reply of the shim. */
  readonly reply: number;
  /** From TERM to KILL. */
  readonly stop: number;
  /** From KILL until this gives up; and for loggers to write what they have read. */
  readonly kill: number;
}

/** The first is the default of stop-timeout, for conf files are not read. */
const TIMES: Times = { reply: 2000, stop: 10_000, kill: 5000 };

/** Between two looks. In ms. */
const LOOK = 20;

const { SIGCONT, SIGKILL, SIGTERM } = constants.signals;

interface Directories {
  readonly runDir: string;
  readonly stateDir: string;
}

/** Where records of instances are, and nothing else. */
export const recordsIn = (stateDir: string): string => join(stateDir, "daemons");

/** Recorded main processes and loggers: those of a shim that has ended live on. */
const recorded = (
  stateDir: string,
): readonly { readonly leader?: ProcessIdentity; readonly logger?: ProcessIdentity }[] => {
  const files = new StateFiles(recordsIn(stateDir));
  return files.owners().flatMap((owner) =>
    files.list(owner).flatMap((name) => {
      const record = files.read(owner, name, () => undefined);
      if (!isInstanceRecord(record)) return [];
      const { run, log } = record;
      return { ...(run && { leader: run.leader }), ...(log?.logger && { logger: log.logger }) };
    }),
  );
};

/** The processes that descend from any of these roots, the shim left out. */
class Descendants {
  readonly #shim: ProcessIdentity | undefined;
  readonly #leaders: readonly ProcessIdentity[];
  #known: readonly ProcessIdentity[] = [];

  constructor(shim: ProcessIdentity | undefined, leaders: readonly ProcessIdentity[]) {
    this.#shim = shim;
    this.#leaders = leaders;
  }

  /** Those that live, without those that descend from `others`. */
  now(others: readonly ProcessIdentity[] = []): readonly ProcessIdentity[] {
    const rows = readProcesses();
    const found = new Map<number, ProcessIdentity>();
    const add = (each: ProcessIdentity): void => void found.set(each.pid, each);
    if (this.#shim) findTree(this.#shim, this.#known, rows, false).forEach(add);
    for (const leader of this.#leaders) findTree(leader, [], rows).forEach(add);
    if (this.#shim) found.delete(this.#shim.pid);
    this.#known = [...found.values()];
    for (const other of others) for (const { pid } of findTree(other, [], rows, false)) found.delete(pid);
    return [...found.values()];
  }
}

/** Waits until none of some processes is left, or the time is up; `press` is called at each look with those that are left. */
const awaitEnd = async (
  some: () => readonly ProcessIdentity[],
  longest: number,
  press: (left: readonly ProcessIdentity[]) => void = () => undefined,
): Promise<void> => {
  for (const end = performance.now() + longest; performance.now() < end; await sleep(LOOK)) {
    const left = some();
    if (left.length === 0) return;
    press(left);
  }
};

const signalAll = (processes: readonly ProcessIdentity[], ...signals: readonly number[]): void => {
  for (const each of processes) {
    for (const signal of signals) {
      try {
        signalProcess(each, signal);
      } catch {
        // Of another account, in single-user mode: it is reported as one that is left.
      }
    }
  }
};

/** A connection to the shim; undefined where it does not answer. */
const connect = async (runDir: string, timeout: number): Promise<ShimLink | undefined> => {
  try {
    return await connectShim(runDir, { timeout, report: () => undefined, isOver: () => true });
  } catch {
    return undefined;
  }
};

/** Keeps the shim from launching a run by itself. One of an earlier version never does. */
const forbidNext = ({ requests }: ShimLink, name: string): void => {
  try {
    requests.permitNext(name, 0);
  } catch {
    // The next run has been launched already, and ends like the others.
  }
};

/** Ends the shim and removes the files of its sockets. */
const finishShim = (link: ShimLink): void => {
  for (const each of link.requests.list()) if (each.kind === "socket") link.requests.release("socket", each.name);
  endShim(link, knownCgroupRoot(link.requests.tree, CONTROLLERS), { warn: () => undefined });
};

/**
 * Ends the daemons that belong to these directories, and then their loggers and their shim. Both directories must be locked.
 * @returns the number of processes that it has ended, without the shim; undefined where there was none, nor a shim
 * @throws Error that names the processes that are left
 */
export const endLeftDaemons = async (
  { runDir, stateDir }: Directories,
  times: Times = TIMES,
): Promise<number | undefined> => {
  const last = lastShim(stateDir);
  // Somebody may have stopped it.
  if (last) signalAll([last], SIGCONT);
  const link = await connect(runDir, times.reply);
  const shim = link ? identify(link.requests.pid) : last;
  const records = recorded(stateDir);
  const runs = (link?.requests.list() ?? []).filter((each) => each.kind === "run" && each.state !== "exited");
  for (const { name } of runs) if (link) forbidNext(link, name);
  const loggers = [
    ...runs.flatMap(
      (each) => (each.kind === "run" && fifoOfLogger(each.name) !== undefined && identify(each.pid)) || [],
    ),
    ...records.flatMap(({ logger }) => logger ?? []),
  ];
  const all = new Descendants(shim, [...records.flatMap(({ leader }) => leader ?? []), ...loggers]);
  const first = all.now();
  if (first.length === 0 && shim === undefined) return undefined;
  const daemons = (): readonly ProcessIdentity[] => all.now(loggers);
  signalAll(daemons(), SIGTERM, SIGCONT);
  await awaitEnd(daemons, times.stop);
  await awaitEnd(daemons, times.kill, (left) => signalAll(left, SIGKILL));
  // The loggers have read everything when nobody can write any more.
  for (const each of link?.requests.list() ?? []) if (each.kind === "fifo") link?.requests.release("fifo", each.name);
  await awaitEnd(() => all.now(), times.kill);
  await awaitEnd(
    () => all.now(),
    times.kill,
    (left) => {
      // Programs that start others faster than signals reach them.
      if (link?.requests.tree !== undefined) killGroup(link.requests.tree);
      signalAll(left, SIGKILL);
    },
  );
  if (link) finishShim(link);
  else if (shim)
    await awaitEnd(
      () => [shim].filter(isAlive),
      times.kill,
      (left) => signalAll(left, SIGKILL),
    );
  link?.close();
  const left = [...all.now(), ...(shim ? [shim].filter(isAlive) : [])];
  if (left.length > 0) throw new Error(`still running: pids ${left.map(({ pid }) => pid).join(" ")}`);
  rmSync(recordsIn(stateDir), { recursive: true, force: true });
  return first.length;
};
