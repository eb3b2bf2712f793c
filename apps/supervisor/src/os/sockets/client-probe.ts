/** Clients of a listening socket, and who has them in hand: sock_diag(7), and /proc, where every look is bounded. */
import { lstatSync, opendirSync, readFileSync, readlinkSync } from "node:fs";
import type { ClientLook, ProcessIdentity } from "../../engine/ports/runs.ts";
import { asUser } from "../accounts/as-user.ts";
import { type Role, roleOf, type SocketSnapshots } from "../kernel/socket-snapshot.ts";

/**
 * How long one look at processes may take, in ms. How many descriptors they have is the tenant's choice; who cannot be
 * looked through in this time is not known to have no client.
 */
const LONGEST = 20;
/** The same where each of their sockets is asked for, because others have so many. */
const LONGEST_ASKING = 100;

/** Whether one of these processes is what is looked for; undefined where it may be. */
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
 * A look for clients of the socket that is bound to this `file` (fileNumber).
 * @param since a clock's value (performance.now()) before which it must not have been looked
 */
export const servesClient = (snapshots: SocketSnapshots, file: number, since?: number): ClientLook => {
  const present = since === undefined ? snapshots.recent() : snapshots.since(since);
  if (!present) return ask(snapshots, file, ["client"]);
  if (!present.told) return () => false;
  const { accepted } = present.to(file);
  return lookFor({ isClient: (one) => accepted.has(one), isListed: present.has }, LONGEST);
};

/** Whether one of these processes listens for streams on the socket that is bound to this `file` (fileNumber); undefined as above. */
export const hasListener = (processes: readonly ProcessIdentity[], file: number): boolean | undefined =>
  anyOf(processes, lookFor({ ...oneByOne(file, ["listener", "queue"]), isListed: () => true }, LONGEST_ASKING));

/** What a look at processes knows of the sockets that it comes across. */
interface Knowledge {
  isClient(socket: number): boolean;
  /** Whether it is a UNIX socket of this network namespace. */
  isListed(socket: number): boolean;
}

/** Asks the kernel for each socket, once. */
const oneByOne = (file: number, wanted: readonly Role[]): Knowledge => {
  const known = new Map<number, Role>();
  const role = (socket: number): Role => {
    const found = known.get(socket) ?? roleOf(socket, file);
    known.set(socket, found);
    return found;
  };
  return { isClient: (socket) => wanted.includes(role(socket)), isListed: (socket) => role(socket) !== "elsewhere" };
};

const ask = ({ asking }: SocketSnapshots, file: number, wanted: readonly Role[]): ClientLook => {
  if (asking.balance <= 0) return () => undefined;
  const look = lookFor(oneByOne(file, wanted), LONGEST_ASKING);
  return (process) => asking.charge(() => look(process));
};

const lookFor = (knowledge: Knowledge, longest: number): ClientLook => {
  const deadline = performance.now() + longest;
  return ({ pid }) => (performance.now() > deadline ? undefined : holdsClient(pid, knowledge, deadline));
};

/**
 * The same for a socket that one run alone listens on: whoever is connected to it is that run's, those who wait included, so
 * that each of its processes is taken to have one. Waiting ones of another network namespace are in its queue.
 */
export const hasClient = (snapshots: SocketSnapshots, file: number, since?: number): ClientLook => {
  const present = since === undefined ? snapshots.recent() : snapshots.since(since);
  if (!present) return ask(snapshots, file, ["client", "queue"]);
  if (present.to(file).count > 0) return () => true;
  return servesClient(snapshots, file, since);
};

/**
 * Whether a process has a client's connection, or one whose client is in another network namespace, as a web server in
 * its own container is. The kernel counts both ends of such a connection to the client's namespace; but a UNIX socket that
 * this namespace does not list is nothing else. The process is looked at with its own authority: root may have no power to.
 */
const holdsClient = (pid: number, { isClient, isListed }: Knowledge, deadline: number): boolean | undefined => {
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
          if (!isListed(inode) && isUnix(pid, entry.name)) unlisted.push(inode);
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
    return GONE.has((error as NodeJS.ErrnoException).code ?? "") ? false : undefined;
  }
};
/** Where it does not matter what a socket is bound to. */
const NO_FILE = 0;
/** Descriptors that are read at a time. */
const ENTRIES = 128;
/** What becomes of a look at a process that has ended. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ESRCH"]);

/** Inode of the socket that a descriptor is; undefined for any other. */
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
