/** Connections to a shim that belongs to the account of this process. */
import { closeSync } from "node:fs";
import { codeOf } from "../kernel/error-code.ts";
import { connectUnix, peerOf } from "../kernel/unix-socket.ts";

/** The shim has left a request without a reply. */
export class SilentShim extends Error {
  /** Its process; undefined where it has not even accepted the connection. */
  readonly pid: number | undefined;

  constructor(request: string, pid?: number) {
    super(`shim: ${request}: no reply in time`);
    this.pid = pid;
  }
}

/** Requires that the shim at the other end of a connection was started by an account. @param own its uid, usually that of this process */
export const requireOwn = (path: string, fd: number, own = process.geteuid?.()): void => {
  const { pid, uid } = peerOf(fd);
  if (uid === own) return;
  throw new Error(
    `${path}: the shim there (pid ${pid}) belongs to uid ${uid}, not to uid ${own}, and is not used; ` +
      "choose another directory with --run-dir, or stop the supervisor of that account",
  );
};

/** Connects to the shim at a path. @throws errno errors, and where the shim belongs to another account */
export const connectOwn = (path: string, timeout: number): number => {
  let fd: number;
  try {
    fd = connectUnix(path, timeout);
  } catch (error) {
    // As many connections as can wait at its socket do.
    throw codeOf(error) === "EAGAIN" ? new SilentShim("connect") : error;
  }
  try {
    requireOwn(path, fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
};
