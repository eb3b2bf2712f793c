/** Finds the processes that have a client's connection, by sock_diag(7) and /proc. Each search is bounded. */
import { lstatSync, opendirSync, readFileSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import { type Role, roleOf, type SocketSnapshots } from "../kernel/socket-snapshot.ts";

/** Whether a process has a client's connection; undefined where that takes too long to find out. */
export type ClientLook = (process: ProcessIdentity) => boolean | undefined;

/** How clients of a run are found. */
export interface ClientProbe {
  /** @param since oldest socket snapshot that counts, in ms of performance.now() */
  look(since?: number): ClientLook;
}

/**
 * Longest search through the descriptors of processes, in ms: how many they have is the tenant's choice. A process that was
 * not searched in this time may have a client.
 */
const LONGEST = 20;
/** LONGEST where each socket is queried because a snapshot of all of them would take too long. */
const LONGEST_QUERIES = 100;

/** Whether `look` finds one of these processes; undefined where that is uncertain. */
export const anyOf = (processes: readonly ProcessIdentity[], look: ClientLook): boolean | undefined => {
  let unsure = false;
  for (const process of processes) {
    const found = look(process);
    if (found) return true;
    unsure ||= found === undefined;
  }
  return unsure ? undefined : false;
};

/**
 * Finds processes with a client of the socket that is bound to this `file` (fileNumber).
 * @param since the snapshot must not be older than this (performance.now())
 */
export const servesClient = (snapshots: SocketSnapshots, file: number, since?: number): ClientLook => {
  const snapshot = since === undefined ? snapshots.recent() : snapshots.since(since);
  if (!snapshot) return query(snapshots, file, ["client"]);
  if (!snapshot.supported) return () => false;
  const { accepted } = snapshot.to(file);
  return lookFor({ isClient: (one) => accepted.has(one), isInNamespace: snapshot.has }, LONGEST);
};

/**
 * Whether one of these processes listens for streams on the socket that is bound to this `file` (fileNumber); undefined
 * where that is uncertain.
 */
export const hasListener = (processes: readonly ProcessIdentity[], file: number): boolean | undefined =>
  anyOf(processes, lookFor({ ...oneByOne(file, ["listener", "queue"]), isInNamespace: () => true }, LONGEST_QUERIES));

/** Classifies the sockets that a search finds. */
interface Classifier {
  isClient(socket: number): boolean;
  /** Whether it is a UNIX socket of this network namespace. */
  isInNamespace(socket: number): boolean;
}

/** Queries the kernel about each socket, once. */
const oneByOne = (file: number, wanted: readonly Role[]): Classifier => {
  const known = new Map<number, Role>();
  const role = (socket: number): Role => {
    const found = known.get(socket) ?? roleOf(socket, file);
    known.set(socket, found);
    return found;
  };
  return {
    isClient: (socket) => wanted.includes(role(socket)),
    isInNamespace: (socket) => role(socket) !== "elsewhere",
  };
};

const query = ({ queries }: SocketSnapshots, file: number, wanted: readonly Role[]): ClientLook => {
  if (queries.balance <= 0) return () => undefined;
  const look = lookFor(oneByOne(file, wanted), LONGEST_QUERIES);
  return (process) => queries.charge(() => look(process));
};

const lookFor = (classifier: Classifier, longest: number): ClientLook => {
  const deadline = performance.now() + longest;
  return ({ pid }) => (performance.now() > deadline ? undefined : holdsClient(pid, classifier, deadline));
};

/**
 * The same for a socket on which only one run listens: all its clients, waiting ones too, belong to the run, so each of its
 * processes counts as having one. The accept queue shows waiting clients of other network namespaces.
 */
export const hasClient = (snapshots: SocketSnapshots, file: number, since?: number): ClientLook => {
  const snapshot = since === undefined ? snapshots.recent() : snapshots.since(since);
  if (!snapshot) return query(snapshots, file, ["client", "queue"]);
  if (snapshot.to(file).count > 0) return () => true;
  return servesClient(snapshots, file, since);
};

/**
 * Whether a process has a client's connection, or one whose client is in another network namespace, such as a web server in
 * its own container. The kernel assigns both ends of such a connection to the client's namespace; a UNIX socket that this
 * namespace does not list can be nothing else. Reads /proc as the process's account: root may lack the capabilities.
 */
const holdsClient = (pid: number, { isClient, isInNamespace }: Classifier, deadline: number): boolean | undefined => {
  const isLate = (): boolean => performance.now() > deadline;
  try {
    const { uid, gid } = lstatSync(`/proc/${pid}`);
    const unlisted: number[] = [];
    const found = asUser({ uid, gid, groups: [gid] }, () => {
      const directory = opendirSync(`/proc/${pid}/fd`, { bufferSize: ENTRIES });
      try {
        for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
          if (isLate()) return undefined;
          const inode = socketAt(`/proc/${pid}/fd/${entry.name}`);
          if (inode === undefined) continue;
          if (isClient(inode)) return true;
          if (!isInNamespace(inode) && isUnix(pid, entry.name)) unlisted.push(inode);
        }
        return false;
      } finally {
        directory.closeSync();
      }
    });
    if (found !== false) return found;
    for (const inode of unlisted) {
      if (isLate()) return undefined;
      if (roleOf(inode, NO_FILE) === "elsewhere") return true;
    }
    return false;
  } catch (error) {
    return ENDED.has(codeOf(error)) ? false : undefined;
  }
};
/** No file has this number. */
const NO_FILE = 0;
/** Directory entries that are read at a time. */
const ENTRIES = 128;
/** Errors for a process that has ended. */
const ENDED: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"]);

/** Inode of a descriptor that is a socket; undefined for any other descriptor. */
const socketAt = (path: string): number | undefined => {
  try {
    const [, digits] = /^socket:\[(\d+)\]$/.exec(readlinkSync(path)) ?? [];
    return digits === undefined ? undefined : Number(digits);
  } catch {
    return undefined;
  }
};

/** Whether a descriptor is a UNIX socket: its fdinfo alone has this line (proc_pid_fdinfo(5), Linux 5.6). */
const isUnix = (pid: number, fd: string): boolean => {
  try {
    return /^scm_fds:/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1"));
  } catch {
    return false;
  }
};
