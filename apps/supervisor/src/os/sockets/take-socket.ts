/** Takes the socket that a run of an earlier supervisor listens on. */
import { closeSync, lstatSync, readlinkSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { kernelDevice } from "../kernel/file-number.ts";
import { openPidfd, takeDescriptor } from "../kernel/pidfd.ts";
import { isAlive } from "../kernel/process-table.ts";
import { boundAs, type ListeningSocket } from "./listening-socket.ts";
import { boundTo } from "./socket-facts.ts";

/**
 * The socket that a process has as `descriptor`, if it is the one that clients find at the path: a process can have put any
 * other there. Takes the permission to trace the process (CAP_SYS_PTRACE). undefined where it cannot be taken.
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
    // Closing a copy of any other file could block.
    const isSocket = readlinkSync(`/proc/${process.pid}/fd/${descriptor}`).startsWith("socket:");
    if (!isSocket || !isAlive(process)) return undefined;
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

/** Whether a descriptor is the socket that clients find at the path: listening for streams, and bound to that very file. */
const isBehind = (path: string, fd: number): boolean => {
  const { ino, dev } = lstatSync(path);
  const bound = boundTo(fd);
  return bound?.path === boundAs(path) && bound.inode === ino % 2 ** 32 && bound.device === kernelDevice(dev);
};
