/**
 * Processes as /proc lists them. A pid alone proves nothing (docs/explanation/security.md#11): pid and start time identify a
 * process.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { codeOf } from "./error-code.ts";

interface Row extends ProcessIdentity {
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  readonly threads: number;
}

/** All processes at one moment. */
export type Snapshot = readonly Row[];

/** Errors for a process that has ended, or that /proc hides. Other errors do not tell whether it lives. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ESRCH", "EACCES", "EPERM"]);

/** @throws errno errors where /proc cannot be read, e.g. EMFILE */
const readRow = (pid: number): Row | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The process chooses its name in parentheses, so count fields from the last parenthesis.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent, , session] = fields;
    return {
      pid,
      state,
      parent: Number(parent),
      session: Number(session),
      threads: Number(fields[17]),
      startTime: Number(fields[19]),
    };
  } catch (error) {
    if (!ABSENT.has(codeOf(error))) throw error;
    return undefined;
  }
};

/** Whether it is no zombie. A process whose first thread has ended looks like one while its other threads continue. */
const isLiving = ({ state, threads }: Row): boolean => state !== "X" && (state !== "Z" || threads > 1);

/** The process that has this pid now; undefined when there is none but a zombie, or when /proc cannot be read. */
export const identify = (pid: number): ProcessIdentity | undefined => {
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    const row = readRow(pid);
    return row && isLiving(row) ? { pid, startTime: row.startTime } : undefined;
  } catch {
    return undefined;
  }
};

/** Whether this process, and not a later one with its pid, is alive. */
export const isAlive = (process: ProcessIdentity): boolean => identify(process.pid)?.startTime === process.startTime;

/**
 * Every process but zombies and pid 1.
 * @throws errno errors where /proc cannot be read, e.g. EMFILE
 */
export const readProcesses = (): Snapshot =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => readRow(Number(entry)))
    .filter((row): row is Row => row !== undefined && isLiving(row) && row.pid > 1);

let recent: Snapshot | undefined;

/**
 * The same, read at most once in a turn of the event loop.
 * @throws errno errors where /proc cannot be read, e.g. EMFILE
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
 * Whether the session with the number of `leader` is the one that it led: the kernel does not reuse that pid while the
 * session has a process. A later session whose leader has ended as well looks the same.
 */
export const hasSession = (leader: ProcessIdentity, rows: Snapshot): boolean =>
  rows.some(({ session }) => session === leader.pid) &&
  rows.every(({ pid, startTime }) => pid !== leader.pid || startTime === leader.startTime);

/**
 * The processes of a tree: `leader`, its session, their descendants, and descendants of `known`, which earlier calls found
 * and whose parents may have ended since. Best effort where there is no cgroup: it misses a process that left the session
 * and lost its parent between two calls (docs/explanation/security.md#10).
 * @param led whether the session may still be the leader's; false once it was found to have ended
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
    const isOfSession = isLed && row.session === leader.pid && row.startTime >= leader.startTime;
    if (isOfSession || wanted.get(row.pid) === row.startTime) members.set(row.pid, row);
  }
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const row of rows) if (members.has(row.parent)) members.set(row.pid, row);
  }
  return [...members.values()];
};

/** Identifies this boot and this pid namespace: pids are meaningful only within them. */
export const processEpoch = (): string =>
  `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
