/** Clients of a listening socket, as the kernel tells them: sock_diag(7), and /proc for who holds which. */
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { dumpSocketDiagnosis } from "./libc.ts";
import { asUser } from "./tenant.ts";

const SOCK_DIAG_BY_FAMILY = 20;
const UDIAG_SHOW_VFS = 2;
const UNIX_DIAG_VFS = 1;
const ESTABLISHED = 1;

/** The server's ends of the connections to a socket. */
export interface Connections {
  /** How many, those that wait to be accepted included. */
  readonly count: number;
  /** Inodes of those that a process has accepted. */
  readonly accepted: ReadonlySet<number>;
}

/** Connections to the listening socket that is bound to the file `inode`; undefined where the kernel does not tell. */
export const connectionsTo = (inode: number): Connections | undefined => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(0x301, 6);
  request.writeUInt8(1, 16);
  request.writeUInt32LE(1 << ESTABLISHED, 20);
  request.writeUInt32LE(UDIAG_SHOW_VFS, 28);
  request.fill(0xff, 32);
  const accepted = new Set<number>();
  let count = 0;
  try {
    dumpSocketDiagnosis(request, (message) => {
      if (boundTo(message) !== inode % 2 ** 32) return;
      count += 1;
      const own = message.readUInt32LE(20);
      if (own !== 0) accepted.add(own);
    });
  } catch {
    return undefined;
  }
  return { count, accepted };
};

/** Inode of the file that a socket, or the one it was accepted from, is bound to. */
const boundTo = (message: Buffer): number | undefined => {
  for (let at = 32; at + 12 <= message.length; ) {
    const length = message.readUInt16LE(at);
    if (message.readUInt16LE(at + 2) === UNIX_DIAG_VFS) return message.readUInt32LE(at + 4);
    at += Math.max(4, (length + 3) & ~3);
  }
  return undefined;
};

/** Whether a process has one of these sockets open. It is looked at with its own authority: root may have no power to. */
export const holdsAny = (pid: number, sockets: ReadonlySet<number>): boolean => {
  try {
    const { uid, gid } = lstatSync(`/proc/${pid}`);
    return asUser({ uid, gid, groups: [gid] }, () => {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
        if (inode !== undefined && sockets.has(Number(inode))) return true;
      }
      return false;
    });
  } catch {
    return false;
  }
};

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
};
