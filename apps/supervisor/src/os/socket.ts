/** Listening FastCGI sockets: owned by the supervisor, published in a directory where only root writes (security.md 20). */
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  utimesSync,
} from "node:fs";
import { dirname } from "node:path";
import type { SocketEvidence } from "../core/evidence.ts";
import { askSocketDiagnosis, listenUnix, openPidfd, takeDescriptor } from "./libc.ts";
import { isAlive, type ProcessIdentity } from "./process-table.ts";

const BACKLOG = 4096;

/** A socket that is being listened on. */
export interface ListeningSocket {
  readonly fd: number;
  readonly path: string;
}

/**
 * Makes the directory `path` so that members of `gid` may pass through it and nobody but root may see or change it.
 * @throws errno errors
 */
const makePassage = (path: string, gid: number): void => {
  mkdirSync(path, { recursive: true, mode: 0o710 });
  const { uid, gid: before, mode } = lstatSync(path);
  if (uid !== process.geteuid?.()) {
    throw Object.assign(new Error(`EPERM: ${path} belongs to uid ${uid}, not to the supervisor`), { code: "EPERM" });
  }
  if (before !== gid) chownSync(path, uid, gid);
  if ((mode & 0o7777) !== 0o710) chmodSync(path, 0o710);
};

/**
 * Listens at `<root>/<owner>/<name>.sock`, for members of group `gid` alone. What stands there from an earlier supervisor
 * is replaced in one step, so that a client always finds a socket.
 * @throws errno errors; ENAMETOOLONG for a path of more than 107 bytes
 */
export const openSocket = (path: string, gid: number): ListeningSocket => {
  makePassage(dirname(dirname(path)), gid);
  makePassage(dirname(path), gid);
  const fresh = `${path}~`;
  rmSync(fresh, { force: true });
  const fd = listenUnix(fresh, BACKLOG);
  try {
    chownSync(fresh, process.geteuid?.() ?? 0, gid);
    chmodSync(fresh, 0o660);
    renameSync(fresh, path);
    return { fd, path };
  } catch (error) {
    closeSync(fd);
    rmSync(fresh, { force: true });
    throw error;
  }
};

/**
 * The socket that a run of an earlier supervisor still listens on as descriptor 0, if that can be had: it takes the power
 * to trace the process (CAP_SYS_PTRACE). What a hostile process would hand over instead serves only its own daemon.
 */
export const takeSocket = (path: string, process: ProcessIdentity): ListeningSocket | undefined => {
  let pidfd: number | undefined;
  try {
    pidfd = openPidfd(process.pid);
    if (!isAlive(process) || !lstatSync(path).isSocket()) return undefined;
    const fd = takeDescriptor(pidfd, 0);
    if (fstatSync(fd).isSocket()) return { fd, path };
    closeSync(fd);
    return undefined;
  } catch {
    return undefined;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
};

/** Stops listening and takes the socket off its path. */
export const closeSocket = (socket: ListeningSocket): void => {
  rmSync(socket.path, { force: true });
  closeSync(socket.fd);
};

const LONG_AGO = 1;

/** Forgets earlier clients: `touched` is about those who connect from now on. */
export const markSocket = (socket: ListeningSocket): void => {
  // connect(2) brings an access time up to date that is older than the modification time, also under relatime.
  utimesSync(socket.path, LONG_AGO, Date.now() / 1000);
};

/** Whether clients find the socket at its path. */
export const isPublished = (socket: ListeningSocket): boolean =>
  lstatSync(socket.path, { throwIfNoEntry: false })?.isSocket() ?? false;

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
const UDIAG_SHOW_ICONS = 8;
const UNIX_DIAG_ICONS = 3;

/** Inodes of the clients in the accept queue, first come first (sock_diag(7)); undefined where the kernel does not tell. */
const waitingClients = (fd: number): number[] | undefined => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(1, 6);
  request.writeUInt8(1, 16);
  request.writeUInt32LE(0xffff_ffff, 20);
  request.writeUInt32LE(fstatSync(fd).ino, 24);
  request.writeUInt32LE(UDIAG_SHOW_ICONS, 28);
  request.fill(0xff, 32);
  let answer: Buffer;
  try {
    answer = askSocketDiagnosis(request);
  } catch {
    return undefined;
  }
  if (answer.length < 32 || answer.readUInt16LE(4) !== SOCK_DIAG_BY_FAMILY) return undefined;
  const end = Math.min(answer.readUInt32LE(0), answer.length);
  for (let at = 32; at + 4 <= end; ) {
    const length = answer.readUInt16LE(at);
    if (answer.readUInt16LE(at + 2) === UNIX_DIAG_ICONS) {
      return Array.from({ length: (length - 4) / 4 }, (_, index) => answer.readUInt32LE(at + 4 + index * 4)).filter(
        (inode) => inode !== 0,
      );
    }
    at += Math.max(4, (length + 3) & ~3);
  }
  return [];
};
