/**
 * What /proc says of processes. A pid alone proves nothing (docs/explanation/security.md#11): a process is its pid and
 * its start time.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/runs.ts";

interface Row extends ProcessIdentity {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly threads: number;
}

/** What /proc said of every process at one moment. */
export type Snapshot = readonly Row[];

/** What becomes of a look at a process that has ended, or that /proc hides. Any other says nothing of it. */
const UNSEEN: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

/** @throws errno errors where it cannot be looked, as for want of a descriptor */
const readRow = (pid: number): Row | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses is the process's own choice, so fields are counted from the last parenthesis.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent, group, session] = fields;
    return {
      pid,
      state,
      parent: Number(parent),
      group: Number(group),
      session: Number(session),
      threads: Number(fields[17]),
      startTime: Number(fields[19]),
    };
  } catch (error) {
    if (!UNSEEN.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
    return undefined;
  }
};

/** Whether it is more than the remains of a process. One whose first thread has ended looks like them, and goes on. */
const isLiving = ({ state, threads }: Row): boolean => state !== "X" && (state !== "Z" || threads > 1);

/** The process that has this pid now; undefined when there is none, or only its remains (a zombie), or it cannot be looked. */
export const identify = (pid: number): ProcessIdentity | undefined => {
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    const row = readRow(pid);
    return row && isLiving(row) ? { pid, startTime: row.startTime } : undefined;
  } catch {
    return undefined;
  }
};

/** Whether that very process still lives. */
export const isAlive = (process: ProcessIdentity): boolean => identify(process.pid)?.startTime === process.startTime;

/**
 * Every living process.
 * @throws errno errors where it cannot be looked, as for want of a descriptor
 */
export const readProcesses = (): Snapshot =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => readRow(Number(entry)))
    .filter((row): row is Row => row !== undefined && isLiving(row) && row.pid > 1);

let recent: Snapshot | undefined;

/**
 * The same, read once in a turn of the event loop for all who ask in it.
 * @throws errno errors where it cannot be looked, as for want of a descriptor
 */
export const processesThisTurn = (): Snapshot => {
  if (recent) return recent;
  recent = readProcesses();
  setImmediate(() => {
    recent = undefined;
  });
  return recent;
};

/**
 * Whether the session with the number of `leader` is the one that it led: the kernel gives nobody that pid while the session
 * has a process. A later one whose leader has ended as well cannot be told from it.
 */
export const hasSession = (leader: ProcessIdentity, rows: Snapshot): boolean =>
  rows.some(({ session }) => session === leader.pid) &&
  rows.every(({ pid, startTime }) => pid !== leader.pid || startTime === leader.startTime);

/**
 * The living processes of a tree: `leader`, its session, and their descendants; also those descendants of `known`, seen
 * earlier, whose parent has gone since. Best effort where there is no cgroup: a process that left the session and lost its
 * parent between two looks is missed (docs/explanation/security.md#10).
 * @param led whether the session may be the leader's; not where it has been seen to have ended
 */
export const findTree = (
  leader: ProcessIdentity,
  known: readonly ProcessIdentity[] = [],
  rows: Snapshot = readProcesses(),
  led = true,
): ProcessIdentity[] => {
  const wanted = new Map([leader, ...known].map(({ pid, startTime }) => [pid, startTime]));
  const isLed = led && hasSession(leader, rows);
  const members = new Map<number, Row>();
  for (const row of rows) {
    // Its group is within its session: in another, a group of this number is another's.
    const isOfSession = isLed && row.session === leader.pid && row.startTime >= leader.startTime;
    if (isOfSession || wanted.get(row.pid) === row.startTime) members.set(row.pid, row);
  }
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const row of rows) if (members.has(row.parent)) members.set(row.pid, row);
  }
  return [...members.values()];
};

/** Marks the time and place in which pids mean anything: this boot of the machine, this pid namespace. */
export const processEpoch = (): string =>
  `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
