/** System calls about UNIX sockets that Node does not offer for raw descriptors. Each throws errno errors. */
import { closeSync } from "node:fs";
import { checked, declare, errnoName } from "./libc.ts";
import { uninterrupted } from "./uninterrupted.ts";

const c = {
  socket: declare("int socket(int, int, int)"),
  connect: declare("int connect(int, void *, uint32_t)"),
  setsockopt: declare("int setsockopt(int, int, int, const void *, uint32_t)"),
  getsockopt: declare("int getsockopt(int, int, int, _Out_ void *, _Inout_ uint32_t *)"),
};

const AF_UNIX = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_PASSRIGHTS = 83;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** Longest path of a UNIX socket in bytes, without its closing NUL. */
export const SOCKET_PATH_LIMIT = 107;

/** @throws ENAMETOOLONG for a path that is too long for a UNIX socket */
export const requireSocketPath = (path: string): void => {
  const length = Buffer.byteLength(path);
  if (length <= SOCKET_PATH_LIMIT) return;
  throw Object.assign(new Error(`socket path of ${length} B, at most ${SOCKET_PATH_LIMIT} B are possible: ${path}`), {
    code: "ENAMETOOLONG",
  });
};

/** @throws ENAMETOOLONG */
const addressOf = (path: string): Buffer => {
  requireSocketPath(path);
  const bytes = Buffer.from(path);
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
};

/** Whether a process listens at `path`. */
export const isListenedOn = (path: string): boolean => {
  const address = addressOf(path);
  const fd = checked("socket", c.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    // EAGAIN: its accept queue is full.
    return c.connect(fd, address, address.length) === 0 || errnoName() === "EAGAIN";
  } finally {
    closeSync(fd);
  }
};

/**
 * Connects to a stream socket; returns a descriptor whose reads and writes wait, and fail with EAGAIN after a time.
 * @param timeout in ms
 */
export const connectUnix = (path: string, timeout: number): number => {
  const address = addressOf(path);
  const limit = Buffer.alloc(16);
  limit.writeBigInt64LE(BigInt(Math.floor(timeout / 1000)), 0);
  limit.writeBigInt64LE(BigInt((timeout % 1000) * 1000), 8);
  const fd = checked("socket", c.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  try {
    for (const option of [SO_RCVTIMEO, SO_SNDTIMEO])
      checked("setsockopt", c.setsockopt(fd, SOL_SOCKET, option, limit, limit.length), path);
    uninterrupted(() => checked("connect", c.connect(fd, address, address.length), path));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
};

/**
 * Lets clients of a listening socket send no descriptors: this process would close them, and the last close of a socket can
 * take as long as its program wants (SO_LINGER). Linux before 6.16 cannot.
 */
export const refuseDescriptors = (fd: number): void => {
  c.setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, Buffer.alloc(4), 4);
};

/** The process at the other end of a connection. */
interface Peer {
  readonly pid: number;
  readonly uid: number;
}

/** As the kernel recorded it: a client at connect(2), a server at listen(2). */
export const peerOf = (fd: number): Peer => {
  const credentials = Buffer.alloc(12);
  checked("getsockopt", c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [12]));
  return { pid: credentials.readUInt32LE(0), uid: credentials.readUInt32LE(4) };
};
