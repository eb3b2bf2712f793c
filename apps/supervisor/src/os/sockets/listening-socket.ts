/**
 * Listening FastCGI sockets: owned by the supervisor, published in a directory where only root writes
 * (docs/explanation/security.md#20).
 */
import { chmodSync, chownSync, closeSync, lstatSync, renameSync, rmSync, type Stats, utimesSync } from "node:fs";
import { dirname } from "node:path";
import type { SocketEvidence } from "../../core/evidence.ts";
import { fileNumber } from "../kernel/file-number.ts";
import { isShutDown } from "../kernel/poll.ts";
import { isListenedOn, listenUnix, requireSocketPath, setBacklog } from "../kernel/unix-socket.ts";
import { makeTraversable, TRAVERSABLE, unlinkSocket } from "./socket-directory.ts";
import { waitingClients } from "./socket-facts.ts";

/** Connections that wait at a listening socket at most. */
export const BACKLOG = 4096;

/** A listening socket. */
export interface ListeningSocket {
  readonly fd: number;
  readonly path: string;
  /** Group of those who may connect. */
  readonly gid: number;
}

/** Mode of a socket to which the group may connect, and of one to which nobody may. */
const ADMITS = 0o660;
const REFUSES = 0o000;

/** The path at which the socket of `path` was bound; it was renamed afterwards. */
export const boundAs = (path: string): string => `${path}~`;

/**
 * Listens at `<root>/<owner>/<name>.sock`, for members of group `gid` alone. Replaces the socket of an earlier supervisor in
 * one step, so that a client always finds a socket.
 * @param own whether only a run of the same daemon can listen there
 * @throws errno errors; ENAMETOOLONG for a path of more than 107 bytes, EADDRINUSE where another program listens
 */
export const openSocket = (path: string, gid: number, own: boolean): ListeningSocket => {
  makeTraversable(dirname(dirname(path)), gid, TRAVERSABLE.byAll);
  makeTraversable(dirname(path), gid, TRAVERSABLE.byGroup);
  if (!own && lstatSync(path, { throwIfNoEntry: false })?.isSocket() && isListenedOn(path)) {
    throw Object.assign(new Error(`EADDRINUSE: another program listens at ${path}; stop it`), { code: "EADDRINUSE" });
  }
  return { fd: listenAt(path, gid, ADMITS), path, gid };
};

/** Puts a new socket at `path`, in place of any other file. */
const listenAt = (path: string, gid: number, mode: number): number => {
  const draft = boundAs(path);
  rmSync(draft, { force: true });
  requireSocketPath(draft);
  const fd = listenUnix(draft, BACKLOG);
  try {
    chownSync(draft, process.geteuid?.() ?? 0, gid);
    chmodSync(draft, mode);
    renameSync(draft, path);
    return fd;
  } catch (error) {
    closeSync(fd);
    rmSync(draft, { force: true });
    throw error;
  }
};

/** The file at a path; undefined where there is none, or where it cannot be examined. */
const fileAt = (path: string): Stats | undefined => {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
};

/** Changes the file of a socket. Skipped where another file has replaced it: the next run publishes a new socket. */
const changeFile = ({ path }: ListeningSocket, change: () => void): void => {
  if (!fileAt(path)?.isSocket()) return;
  try {
    change();
  } catch {
    // It was removed just now, or its file system accepts no changes.
  }
};

/** Lets clients connect, or refuses them. */
export const admit = (socket: ListeningSocket, clients: boolean): void =>
  changeFile(socket, () => chmodSync(socket.path, clients ? ADMITS : REFUSES));

/**
 * Refuses the clients that wait to be accepted: replaces the socket by a new one that admits nobody. Returns that, or the
 * same socket where no client waits.
 * @throws errno errors
 */
export const dismissWaiting = (socket: ListeningSocket): ListeningSocket => {
  if (waitingClients(socket.fd)?.length === 0) return socket;
  const fd = listenAt(socket.path, socket.gid, REFUSES);
  closeSync(socket.fd);
  return { ...socket, fd };
};

/** Stops listening and removes the socket; returns why that failed, as unlinkSocket does. */
export const closeSocket = (socket: ListeningSocket): string | undefined => {
  const problem = unlinkSocket(socket.path);
  closeSync(socket.fd);
  return problem;
};

/** An access time that no client has caused. Seconds since 1970. */
const LONG_AGO = 1;

/** Forgets earlier clients: from now on `touched` is about later ones. */
export const markSocket = (socket: ListeningSocket): void =>
  // connect(2) updates an access time that is older than the modification time, also under relatime.
  changeFile(socket, () => utimesSync(socket.path, LONG_AGO, Date.now() / 1000));

/**
 * Number of the file that the socket is bound to (fileNumber), which sock_diag(7) reports for connections to it; 0 for none.
 */
export const fileOf = ({ path }: ListeningSocket): number => {
  const found = fileAt(path);
  return found ? fileNumber(found) : 0;
};

/** Whether clients find the socket at its path and can connect: a program that inherited it may have shut it down. */
export const isPublished = (socket: ListeningSocket): boolean =>
  (fileAt(socket.path)?.isSocket() ?? false) && !isShutDown(socket.fd);

/** Restores the length of the accept queue: a program that inherited the socket may have shortened it. */
export const widenQueue = (socket: ListeningSocket): void => setBacklog(socket.fd, BACKLOG);

/** The evidence of clients that the socket shows now. */
export const observeSocket = (socket: ListeningSocket): SocketEvidence => ({
  waiting: waitingClients(socket.fd),
  touched: (fileAt(socket.path)?.atimeMs ?? 0) > LONG_AGO * 1000,
});
