/**
 * Listening FastCGI sockets: owned by the supervisor, published in a directory where only root writes
 * (docs/explanation/security.md#20).
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  utimesSync,
} from "node:fs";
import { dirname } from "node:path";
import type { SocketEvidence } from "../../core/evidence.ts";
import type { ProcessIdentity } from "../../engine/ports/runs.ts";
import {
  askSocketDiagnosis,
  isListenedOn,
  isShutDown,
  listenAgain,
  listenUnix,
  openPidfd,
  SOCKET_PATH_LIMIT,
  takeDescriptor,
} from "../kernel/libc.ts";
import { isAlive } from "../kernel/process-table.ts";
import { fileNumber, kernelDevice } from "../kernel/socket-snapshot.ts";

const BACKLOG = 4096;

/** A socket that is being listened on. */
export interface ListeningSocket {
  readonly fd: number;
  readonly path: string;
  /** Group of those who may connect. */
  readonly gid: number;
}

/** Who may pass through a directory: for sockets that only clients reach; for one in which accounts reach their own, too. */
export const PASSAGE = { owner: 0o710, root: 0o711 } as const;

/**
 * Makes the directory `path` so that members of `gid`, or all, may pass through it and nobody but root may see or change it.
 * @throws errno errors
 */
export const makePassage = (path: string, gid: number, passage: number): void => {
  mkdirSync(path, { recursive: true, mode: passage });
  const { uid, gid: before, mode } = lstatSync(path);
  if (uid !== process.geteuid?.()) {
    throw Object.assign(new Error(`EPERM: ${path} belongs to uid ${uid}, not to the supervisor`), { code: "EPERM" });
  }
  if (before !== gid) chownSync(path, uid, gid);
  if ((mode & 0o7777) !== passage) chmodSync(path, passage);
};

/** @throws ENAMETOOLONG for what is too long for a UNIX socket's path */
export const requireShort = (path: string): void => {
  const length = Buffer.byteLength(path);
  if (length <= SOCKET_PATH_LIMIT) return;
  throw Object.assign(new Error(`socket path of ${length} bytes, at most ${SOCKET_PATH_LIMIT} are possible: ${path}`), {
    code: "ENAMETOOLONG",
  });
};

/**
 * Listens at `<root>/<owner>/<name>.sock`, for members of group `gid` alone. What stands there from an earlier supervisor
 * is replaced in one step, so that a client always finds a socket.
 * @param own whether what listens there can only be a run of the same daemon
 * @throws errno errors; ENAMETOOLONG for a path of more than 107 bytes, EADDRINUSE where somebody else listens
 */
export const openSocket = (path: string, gid: number, own: boolean): ListeningSocket => {
  makePassage(dirname(dirname(path)), gid, PASSAGE.root);
  makePassage(dirname(path), gid, PASSAGE.owner);
  if (!own && lstatSync(path, { throwIfNoEntry: false })?.isSocket() && isListenedOn(path)) {
    throw Object.assign(new Error(`EADDRINUSE: ${path} is another program's, which listens there`), {
      code: "EADDRINUSE",
    });
  }
  return { fd: listenAt(path, gid, FOR_CLIENTS), path, gid };
};

const FOR_CLIENTS = 0o660;
const FOR_NOBODY = 0o000;

/** What the socket at a path was bound as, before it was put there. */
const boundAs = (path: string): string => `${path}~`;

/** Puts a new socket at `path` in place of whatever is there. */
const listenAt = (path: string, gid: number, mode: number): number => {
  const fresh = boundAs(path);
  rmSync(fresh, { force: true });
  requireShort(fresh);
  const fd = listenUnix(fresh, BACKLOG);
  try {
    chownSync(fresh, process.geteuid?.() ?? 0, gid);
    chmodSync(fresh, mode);
    renameSync(fresh, path);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(fresh, { force: true });
    throw error;
  }
};

/** What is at a path; undefined where nothing is, or that cannot be told. */
const fileAt = (path: string): Stats | undefined => {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
};

/** Does something with the file of a socket; where another thing is by now, nobody connects, and the next run publishes another. */
const withFile = ({ path }: ListeningSocket, work: () => void): void => {
  if (!fileAt(path)?.isSocket()) return;
  try {
    work();
  } catch {
    // It has gone at this moment, or its file system takes no more changes.
  }
};

/** Lets clients connect, or not. */
export const admit = (socket: ListeningSocket, clients: boolean): void =>
  withFile(socket, () => chmodSync(socket.path, clients ? FOR_CLIENTS : FOR_NOBODY));

/**
 * Sends those away who wait to be accepted, by listening anew: nobody may connect to that. Gives the new socket, or the same
 * where nobody waits.
 */
export const dismissWaiting = (socket: ListeningSocket): ListeningSocket => {
  if (waitingClients(socket.fd)?.length === 0) return socket;
  const fd = listenAt(socket.path, socket.gid, FOR_NOBODY);
  closeSync(socket.fd);
  return { ...socket, fd };
};

/**
 * The socket that a run of an earlier supervisor still listens on, if that can be had: it takes the power to trace the process
 * (CAP_SYS_PTRACE). It must be the one that clients find at the path: a process can have put any other in its place.
 */
export const takeSocket = (
  path: string,
  gid: number,
  process: ProcessIdentity,
  descriptor: number,
): ListeningSocket | undefined => {
  let pidfd: number | undefined;
  try {
    pidfd = openPidfd(process.pid);
    // A file that is no socket may take its time to be closed.
    if (!isAlive(process) || !readlinkSync(`/proc/${process.pid}/fd/${descriptor}`).startsWith("socket:"))
      return undefined;
    const fd = takeDescriptor(pidfd, descriptor);
    if (isBehind(path, fd)) return { fd, path, gid };
    closeSync(fd);
    return undefined;
  } catch {
    return undefined;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
};

/** Whether a descriptor is the socket that clients find at the path: of streams, listening, and bound to that very file. */
const isBehind = (path: string, fd: number): boolean => {
  const { ino, dev } = lstatSync(path);
  const { type, state, attributes } = describeSocket(fd, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS) ?? {};
  const name = attributes?.get(UNIX_DIAG_NAME)?.toString().replace(/\0$/, "");
  const file = attributes?.get(UNIX_DIAG_VFS);
  return (
    type === SOCK_STREAM &&
    state === LISTEN &&
    name === boundAs(path) &&
    file?.readUInt32LE(0) === ino % 2 ** 32 &&
    file.readUInt32LE(4) === kernelDevice(dev)
  );
};

/** Takes a file away that is no directory; gives why that cannot be, in words, where something else is there by now. */
export const takeAway = (path: string): string | undefined => {
  try {
    unlinkSync(path);
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? undefined : message;
  }
};

/** Stops listening and takes the socket off its path; gives why that cannot be, as takeAway does. */
export const closeSocket = (socket: ListeningSocket): string | undefined => {
  const trouble = takeAway(socket.path);
  closeSync(socket.fd);
  return trouble;
};

const LONG_AGO = 1;

/** Forgets earlier clients: `touched` is about those who connect from now on. */
export const markSocket = (socket: ListeningSocket): void =>
  // connect(2) brings an access time up to date that is older than the modification time, also under relatime.
  withFile(socket, () => utimesSync(socket.path, LONG_AGO, Date.now() / 1000));

/** Number of the file that it is bound to (fileNumber): connections to it name that. */
export const fileOf = ({ path }: ListeningSocket): number => {
  const found = fileAt(path);
  return found ? fileNumber(found) : 0;
};

/** Whether clients find the socket at its path, and can connect to it: a program that has it may have shut it down. */
export const isPublished = (socket: ListeningSocket): boolean =>
  (fileAt(socket.path)?.isSocket() ?? false) && !isShutDown(socket.fd);

/** Gives back to the queue of clients the length that it had: a program that has the socket may have listened anew. */
export const widenQueue = (socket: ListeningSocket): void => listenAgain(socket.fd, BACKLOG);

/** What can be seen of the socket's clients now. */
export const observeSocket = (socket: ListeningSocket): SocketEvidence => ({
  waiting: waitingClients(socket.fd),
  touched: touched(socket.path),
});

const touched = (path: string): boolean => {
  try {
    return lstatSync(path).atimeMs > LONG_AGO * 1000;
  } catch {
    return false;
  }
};

const SOCK_DIAG_BY_FAMILY = 20;
const UDIAG_SHOW_NAME = 1;
const UDIAG_SHOW_VFS = 2;
const UDIAG_SHOW_ICONS = 8;
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_VFS = 1;
const UNIX_DIAG_ICONS = 3;
const SOCK_STREAM = 1;
const LISTEN = 10;

/** What sock_diag(7) says of a UNIX socket. */
interface Description {
  readonly type: number;
  readonly state: number;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

/** What the kernel says of a socket; undefined where it does not. @param wanted what besides type and state */
const describeSocket = (fd: number, wanted: number): Description | undefined => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(1, 6);
  request.writeUInt8(1, 16);
  request.writeUInt32LE(0xffff_ffff, 20);
  request.writeUInt32LE(fstatSync(fd).ino, 24);
  request.writeUInt32LE(wanted, 28);
  request.fill(0xff, 32);
  let answer: Buffer;
  try {
    answer = askSocketDiagnosis(request);
  } catch {
    return undefined;
  }
  if (answer.length < 32 || answer.readUInt16LE(4) !== SOCK_DIAG_BY_FAMILY) return undefined;
  const end = Math.min(answer.readUInt32LE(0), answer.length);
  const attributes = new Map<number, Buffer>();
  for (let at = 32; at + 4 <= end; ) {
    const length = Math.max(4, answer.readUInt16LE(at));
    attributes.set(answer.readUInt16LE(at + 2), answer.subarray(at + 4, Math.min(at + length, end)));
    at += (length + 3) & ~3;
  }
  return { type: answer.readUInt8(17), state: answer.readUInt8(18), attributes };
};

/** Inodes of the clients in the accept queue, first come first (sock_diag(7)); undefined where the kernel does not tell. */
const waitingClients = (fd: number): number[] | undefined => {
  const description = describeSocket(fd, UDIAG_SHOW_ICONS);
  const icons = description?.attributes.get(UNIX_DIAG_ICONS);
  if (!description || !icons) return description && [];
  const inodes = Array.from({ length: Math.floor(icons.length / 4) }, (_, index) => icons.readUInt32LE(index * 4));
  return inodes.filter((inode) => inode !== 0);
};
