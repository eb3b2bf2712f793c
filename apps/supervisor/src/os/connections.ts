/** Clients of a listening socket, as the kernel tells them: sock_diag(7), and /proc for who holds which. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { askSocketDiagnosis, dumpSocketDiagnosis } from "./libc.ts";
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

/** UNIX sockets of one process that are looked up, at most. */
const MOST_LOOKUPS = 256;

/**
 * Whether a process has a client's connection in hand: one of `accepted`, or one whose client is in another network
 * namespace, as a web server in its own container is. The kernel counts both ends of such a connection to the client's
 * namespace, so `connectionsTo` cannot see it; but a UNIX socket that this namespace does not list is nothing else.
 * The process is looked at with its own authority: root may have no power to.
 */
export const servesClient = (pid: number, accepted: ReadonlySet<number>): boolean => {
  try {
    const { uid, gid } = lstatSync(`/proc/${pid}`);
    const others: number[] = [];
    const found = asUser({ uid, gid, groups: [gid] }, () => {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const [, digits] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? [];
        if (digits === undefined) continue;
        if (accepted.has(Number(digits))) return true;
        if (others.length < MOST_LOOKUPS && isUnix(pid, fd)) others.push(Number(digits));
      }
      return false;
    });
    return found || others.some(isElsewhere);
  } catch {
    return false;
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

const NLMSG_ERROR = 2;
const ENOENT = 2;

/** Whether the UNIX socket with this inode is in another network namespace than the supervisor. */
const isElsewhere = (inode: number): boolean => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(1, 6);
  request.writeUInt8(1, 16);
  request.writeUInt32LE(0xffff_ffff, 20);
  request.writeUInt32LE(inode, 24);
  request.fill(0xff, 32);
  const answer = askSocketDiagnosis(request);
  return answer.length >= 20 && answer.readUInt16LE(4) === NLMSG_ERROR && answer.readInt32LE(16) === -ENOENT;
};

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
};
