/** The kernel's socket diagnosis for UNIX sockets (sock_diag(7)): requests, answers and their attributes. */
import { closeSync } from "node:fs";
import { checked, declare, errnoError } from "./libc.ts";

const c = {
  socket: declare("int socket(int, int, int)"),
  send: declare("long send(int, void *, size_t, int)"),
  recv: declare("long recv(int, _Out_ void *, size_t, int)"),
};

const AF_UNIX = 1;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST = 0x001;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const ALL_STATES = 0xffff_ffff;
const HEADER = 16;
/** Where attributes begin in a message about a UNIX socket. */
const ATTRIBUTES = 32;
const BUFFER = 64 * 1024;

/** Socket types and states. */
export const SOCK_STREAM = 1;
export const ESTABLISHED = 1;
export const LISTEN = 10;

/** What a request asks for besides type, state and inode. */
export const SHOW = { name: 0x01, file: 0x02, waiting: 0x08, queue: 0x10 } as const;
/** Attributes of a message: bound path; inode and device of the bound file; waiting clients' inodes; queue length. */
export const ATTRIBUTE = { name: 0, file: 1, waiting: 3, queue: 4 } as const;

/** @param inode of the one socket that is requested; 0 for a list of all */
const requestOf = (show: number, inode: number): Buffer => {
  const request = Buffer.alloc(40);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt16LE(SOCK_DIAG_BY_FAMILY, 4);
  request.writeUInt16LE(NLM_F_REQUEST | (inode === 0 ? NLM_F_DUMP : 0), 6);
  request.writeUInt8(AF_UNIX, 16);
  request.writeUInt32LE(ALL_STATES, 20);
  request.writeUInt32LE(inode, 24);
  request.writeUInt32LE(show, 28);
  // No cookie: any socket with this inode.
  request.fill(0xff, 32);
  return request;
};

/** A request for all UNIX sockets of this network namespace, with the file and queue of each. */
export const allSockets = (): Buffer => requestOf(SHOW.file | SHOW.queue, 0);

/** Opens a netlink socket, sends the request and passes a function that receives into a buffer. */
const converse = <T>(request: Uint8Array, work: (receive: (buffer: Buffer) => number) => T): T => {
  const fd = checked("socket", c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  try {
    checked("send", c.send(fd, request, request.length, 0));
    return work((buffer) => checked("recv", c.recv(fd, buffer, buffer.length, 0)));
  } finally {
    closeSync(fd);
  }
};

/** Answers are copied from here before the next request. */
const shared = Buffer.alloc(BUFFER);

/**
 * The message about the UNIX socket with this inode; an errno value where the kernel answers with an error (ENOENT: not in
 * this network namespace), undefined for any other answer. The next request overwrites the message.
 * @throws errno errors where the kernel cannot be queried
 */
export const diagnose = (inode: number, show: number): Buffer | number | undefined => {
  const length = converse(requestOf(show, inode), (receive) => receive(shared));
  const answer = shared.subarray(0, length);
  const kind = answer.length >= HEADER + 4 ? answer.readUInt16LE(4) : 0;
  if (kind === NLMSG_ERROR) return -answer.readInt32LE(HEADER);
  if (kind !== SOCK_DIAG_BY_FAMILY || answer.length < ATTRIBUTES) return undefined;
  return answer.subarray(0, answer.readUInt32LE(0));
};

/**
 * Sends a request for a list and calls `take` with each message until that returns false.
 * @throws errno errors
 */
export const dumpSockets = (request: Uint8Array, take: (message: Buffer) => boolean): void =>
  converse(request, (receive) => {
    // Not the shared one: `take` may send requests as well.
    const answer = Buffer.alloc(BUFFER);
    for (;;) {
      const end = receive(answer);
      for (let at = 0; at + HEADER <= end; ) {
        const length = answer.readUInt32LE(at);
        const type = answer.readUInt16LE(at + 4);
        if (length < HEADER) return;
        if (type === NLMSG_DONE || type === NLMSG_ERROR) {
          // Both carry a negative errno value where the list is missing or incomplete.
          const status = length < HEADER + 4 ? 0 : answer.readInt32LE(at + HEADER);
          if (status < 0) throw errnoError("recv", "socket diagnosis", -status);
          return;
        }
        if (!take(answer.subarray(at, at + length))) return;
        at += (length + 3) & ~3;
      }
    }
  });

/** Type, state and inode of the socket that a message is about. The inode is 0 until a connection is accepted. */
export const headOf = (message: Buffer): { readonly type: number; readonly state: number; readonly inode: number } => ({
  type: message.readUInt8(17),
  state: message.readUInt8(18),
  inode: message.readUInt32LE(20),
});

/** Calls `take` with each attribute of a message: its type, and where in the message its value begins and ends. */
export const eachAttribute = (message: Buffer, take: (type: number, start: number, end: number) => void): void => {
  for (let at = ATTRIBUTES; at + 4 <= message.length; ) {
    const length = Math.max(4, message.readUInt16LE(at));
    take(message.readUInt16LE(at + 2), at + 4, Math.min(at + length, message.length));
    at += (length + 3) & ~3;
  }
};
