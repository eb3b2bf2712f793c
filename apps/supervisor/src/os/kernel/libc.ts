/** The system calls that Node does not offer, by their C names; each throws an errno error on failure. No decisions here. */
import { constants } from "node:os";
import koffi from "koffi";

const libc = koffi.load("libc.so.6");

const errnoNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** An errno error shaped like Node's own. */
const failure = (call: string, subject: string, errno = koffi.errno()): NodeJS.ErrnoException => {
  const code = errnoNames.get(errno) ?? `errno ${errno}`;
  const error: NodeJS.ErrnoException = new Error(`${call}: ${code}${subject === "" ? "" : `, ${subject}`}`);
  error.code = code;
  error.errno = errno;
  error.syscall = call;
  return error;
};

const checked = (call: string, result: number, subject = ""): number => {
  if (result < 0) throw failure(call, subject);
  return result;
};

const c = {
  setfsuid: libc.func("int setfsuid(uint32_t)"),
  setfsgid: libc.func("int setfsgid(uint32_t)"),
  /** Of the calling thread alone; the libc function would change every thread of the process. */
  setgroups: libc.func("syscall", "long", ["long", "size_t", "uint32_t *"]),
  mkfifo: libc.func("int mkfifo(const char *, uint32_t)"),
  socket: libc.func("int socket(int, int, int)"),
  bind: libc.func("int bind(int, void *, uint32_t)"),
  listen: libc.func("int listen(int, int)"),
  connect: libc.func("int connect(int, void *, uint32_t)"),
  getsockopt: libc.func("int getsockopt(int, int, int, _Out_ void *, _Inout_ uint32_t *)"),
  send: libc.func("long send(int, void *, size_t, int)"),
  recv: libc.func("long recv(int, _Out_ void *, size_t, int)"),
  close_range: libc.func("int close_range(uint32_t, uint32_t, int)"),
  renameat2: libc.func("int renameat2(int, const char *, int, const char *, uint32_t)"),
  flock: libc.func("int flock(int, int)"),
  madvise: libc.func("int madvise(size_t, size_t, int)"),
  malloc_trim: libc.func("int malloc_trim(size_t)"),
  fcntl: libc.func("int fcntl(int, int, int)"),
  umask: libc.func("uint32_t umask(uint32_t)"),
  pidfd_open: libc.func("int pidfd_open(int, uint32_t)"),
  pidfd_send_signal: libc.func("int pidfd_send_signal(int, int, void *, uint32_t)"),
  pidfd_getfd: libc.func("int pidfd_getfd(int, int, uint32_t)"),
  memfd_create: libc.func("int memfd_create(const char *, uint32_t)"),
  eventfd: libc.func("int eventfd(uint32_t, int)"),
  poll: libc.func("int poll(void *, unsigned long, int)"),
  getxattr: libc.func("long getxattr(const char *, const char *, _Out_ void *, size_t)"),
  read: libc.func("long read(int, _Out_ void *, size_t)"),
  write: libc.func("long write(int, const void *, size_t)"),
  waitpid: libc.func("int waitpid(int, _Out_ int *, int)"),
  waitid: libc.func("int waitid(int, uint32_t, _Out_ void *, int)"),
  socketpair: libc.func("int socketpair(int, int, int, _Out_ int *)"),
  posix_spawn: libc.func("int posix_spawn(_Out_ int *, const char *, void *, void *, const char **, const char **)"),
  actions_init: libc.func("int posix_spawn_file_actions_init(void *)"),
  actions_destroy: libc.func("int posix_spawn_file_actions_destroy(void *)"),
  actions_adddup2: libc.func("int posix_spawn_file_actions_adddup2(void *, int, int)"),
  actions_addopen: libc.func("int posix_spawn_file_actions_addopen(void *, int, const char *, int, uint32_t)"),
  actions_addchdir: libc.func("int posix_spawn_file_actions_addchdir_np(void *, const char *)"),
  attr_init: libc.func("int posix_spawnattr_init(void *)"),
  attr_setflags: libc.func("int posix_spawnattr_setflags(void *, short)"),
  attr_setsigdefault: libc.func("int posix_spawnattr_setsigdefault(void *, void *)"),
  attr_setsigmask: libc.func("int posix_spawnattr_setsigmask(void *, void *)"),
};

const SYS_SETGROUPS = process.arch === "arm64" ? 159 : 116;
const UNCHANGED = 0xffff_ffff;

/** Who the calling thread is to the file system. */
export interface FileIdentity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Makes the calling thread be `identity` to the file system; throws, changed or not, when the kernel did not obey. */
export const setFileIdentity = (identity: FileIdentity): void => {
  checked("setgroups", c.setgroups(SYS_SETGROUPS, identity.groups.length, Uint32Array.from(identity.groups)));
  c.setfsgid(identity.gid);
  c.setfsuid(identity.uid);
  if (c.setfsuid(UNCHANGED) !== identity.uid || c.setfsgid(UNCHANGED) !== identity.gid) {
    throw Object.assign(new Error(`setfsuid: EPERM, becoming uid ${identity.uid}`), { code: "EPERM" });
  }
};

/** Makes a FIFO; `mode` is not narrowed by the umask, which the supervisor keeps at 0 only for this call. */
export const mkfifo = (path: string, mode: number): void => {
  const before = c.umask(0);
  try {
    checked("mkfifo", c.mkfifo(path, mode), path);
  } finally {
    c.umask(before);
  }
};

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** Gives each of two files the name of the other, in one step; throws where one is missing, or the file system cannot. */
export const exchangeFiles = (one: string, other: string): void => {
  checked("renameat2", c.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE), other);
};

const AF_UNIX = 1;
const AF_NETLINK = 16;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** Longest path of a UNIX socket in bytes, its closing NUL not counted. */
export const SOCKET_PATH_LIMIT = 107;

/** @throws ENAMETOOLONG */
const addressOf = (path: string): Buffer => {
  const bytes = Buffer.from(path);
  if (bytes.length > SOCKET_PATH_LIMIT) {
    throw Object.assign(
      new Error(`socket path of ${bytes.length} bytes, at most ${SOCKET_PATH_LIMIT} are possible: ${path}`),
      {
        code: "ENAMETOOLONG",
      },
    );
  }
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  return address;
};

/** A new socket on which `work` is done; closed where that throws. */
const newSocket = (type: number, work: (fd: number) => void): number => {
  const fd = checked("socket", c.socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  try {
    work(fd);
    return fd;
  } catch (error) {
    c.close_range(fd, fd, 0);
    throw error;
  }
};

/** Listens on a new UNIX socket at `path`, which must not exist, and returns its descriptor. */
export const listenUnix = (path: string, backlog: number): number =>
  newSocket(SOCK_STREAM, (fd) => {
    const address = addressOf(path);
    checked("bind", c.bind(fd, address, address.length), path);
    checked("listen", c.listen(fd, backlog), path);
  });

/** Listens on a socket that listens already: its queue becomes as long as this. */
export const listenAgain = (fd: number, backlog: number): void => {
  checked("listen", c.listen(fd, backlog));
};

/** Takes datagrams at `path`, which must not exist; returns a descriptor for `receive`. */
export const bindDatagrams = (path: string): number =>
  newSocket(SOCK_DGRAM | SOCK_NONBLOCK, (fd) => {
    const address = addressOf(path);
    checked("bind", c.bind(fd, address, address.length), path);
  });

/** The next datagram, cut off after `longest` bytes; undefined when there is none. */
export const receive = (fd: number, longest: number): Buffer | undefined => {
  const bytes = Buffer.alloc(longest);
  const length = c.recv(fd, bytes, longest, 0);
  return length < 0 ? undefined : bytes.subarray(0, length);
};

/** Whether somebody listens at `path`. */
export const isListenedOn = (path: string): boolean => {
  const address = addressOf(path);
  const fd = checked("socket", c.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    if (c.connect(fd, address, address.length) === 0) return true;
    return errnoNames.get(koffi.errno()) === "EAGAIN";
  } finally {
    c.close_range(fd, fd, 0);
  }
};

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

/** Who connected, in the kernel's word. */
export const peerCredentials = (fd: number): { pid: number; uid: number; gid: number } => {
  const credentials = Buffer.alloc(12);
  checked("getsockopt", c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [12]));
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4), gid: credentials.readUInt32LE(8) };
};

const NETLINK_SOCK_DIAG = 4;

/** Where answers are put that are read before the next question. */
const answer = Buffer.alloc(64 * 1024);

/** Sends one request to the kernel's socket diagnosis and returns its answer, which the next one overwrites. */
export const askSocketDiagnosis = (request: Uint8Array): Buffer => {
  const fd = checked("socket", c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  try {
    checked("send", c.send(fd, request, request.length, 0));
    return answer.subarray(0, checked("recv", c.recv(fd, answer, answer.length, 0)));
  } finally {
    c.close_range(fd, fd, 0);
  }
};

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** Sends a request for a list to the kernel's socket diagnosis and calls `take` with each message until that returns false. */
export const dumpSocketDiagnosis = (request: Uint8Array, take: (message: Buffer) => boolean): void => {
  const fd = checked("socket", c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  try {
    checked("send", c.send(fd, request, request.length, 0));
    const answer = Buffer.alloc(64 * 1024);
    for (;;) {
      const end = checked("recv", c.recv(fd, answer, answer.length, 0));
      for (let at = 0; at + 16 <= end; ) {
        const length = answer.readUInt32LE(at);
        const type = answer.readUInt16LE(at + 4);
        if (length < 16) return;
        if (type === NLMSG_DONE || type === NLMSG_ERROR) {
          // Both tell, by a negative number, why there is no list or no more of it.
          const status = length < 20 ? 0 : answer.readInt32LE(at + 16);
          if (status < 0) throw failure("recv", "socket diagnosis", -status);
          return;
        }
        if (!take(answer.subarray(at, at + length))) return;
        at += (length + 3) & ~3;
      }
    }
  } finally {
    c.close_range(fd, fd, 0);
  }
};

const LOCK_EX_NB = 2 | 4;

/** Locks a file for as long as its descriptor is open; throws EWOULDBLOCK (EAGAIN) where another holds it. */
export const lock = (fd: number): void => {
  checked("flock", c.flock(fd, LOCK_EX_NB));
};

const F_SETFD = 2;

/** Lets a descriptor stay open in the program that takes this one's place. */
export const keepOnExec = (fd: number): void => {
  checked("fcntl", c.fcntl(fd, F_SETFD, 0), `descriptor ${fd}`);
};

const MFD_CLOEXEC = 1;
/** Descriptor of an empty file that is in memory alone; `name` is for whoever looks at descriptors. */
export const memoryFile = (name: string): number => checked("memfd_create", c.memfd_create(name, MFD_CLOEXEC), name);

const CLOSE_RANGE_CLOEXEC = 4;

/** Makes every descriptor above 2 close on exec, so that no child inherits one that it was not given. */
export const closeOnExec = (): void => {
  checked("close_range", c.close_range(3, UNCHANGED, CLOSE_RANGE_CLOEXEC));
};

/** Sends a signal to the process that `pidfd` stands for. */
export const sendSignal = (pidfd: number, signal: number): void => {
  checked("pidfd_send_signal", c.pidfd_send_signal(pidfd, signal, null, 0));
};
/** Descriptor that stands for a process and becomes readable when it ends. */
export const openPidfd = (pid: number): number => checked("pidfd_open", c.pidfd_open(pid, 0), `pid ${pid}`);
/** Copy of a descriptor of another process. */
export const takeDescriptor = (pidfd: number, fd: number): number =>
  checked("pidfd_getfd", c.pidfd_getfd(pidfd, fd, 0), `descriptor ${fd}`);

const EFD_CLOEXEC = SOCK_CLOEXEC;
const EFD_NONBLOCK = 0o4000;
/** Descriptor that is readable after 8 bytes were written to it. */
export const eventfd = (): number => checked("eventfd", c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

const POLLIN = 1;

/** Waits on a thread of its own until one of `fds` is readable; calls back with those that are. */
export const pollReadable = (fds: readonly number[], done: (readable: number[]) => void): void => {
  const set = Buffer.alloc(8 * fds.length);
  for (const [index, fd] of fds.entries()) {
    set.writeInt32LE(fd, index * 8);
    set.writeInt16LE(POLLIN, index * 8 + 4);
  }
  c.poll.async(set, fds.length, -1, () => {
    done(fds.filter((_, index) => set.readInt16LE(index * 8 + 6) !== 0));
  });
};

/**
 * poll(2) that does not wait. It is broken off all the same by a signal that comes meanwhile, such as the end of a child, when
 * it has found nothing.
 */
const pollAtOnce = (set: Buffer, count: number): void => {
  while (c.poll(set, count, 0) < 0) {
    const error = failure("poll", "");
    if (error.code !== "EINTR") throw error;
  }
};

const POLLRDHUP = 0x2000;

/** Whether somebody has shut a socket down for reading. */
export const isShutDown = (fd: number): boolean => {
  const set = Buffer.alloc(8);
  set.writeInt32LE(fd, 0);
  set.writeInt16LE(POLLRDHUP, 4);
  pollAtOnce(set, 1);
  return (set.readInt16LE(6) & POLLRDHUP) !== 0;
};

const POLLOUT = 4;

/** Whether a descriptor has something to read at this moment. */
export const holdsBytes = (fd: number): boolean => {
  const set = Buffer.alloc(8);
  set.writeInt32LE(fd, 0);
  set.writeInt16LE(POLLIN, 4);
  pollAtOnce(set, 1);
  return (set.readInt16LE(6) & POLLIN) !== 0;
};

/** Those of `fds` that can take no more at this moment: pipes that are full. */
export const fullOnes = (fds: readonly number[]): number[] => {
  const set = Buffer.alloc(8 * fds.length);
  for (const [index, fd] of fds.entries()) {
    set.writeInt32LE(fd, index * 8);
    set.writeInt16LE(POLLOUT, index * 8 + 4);
  }
  pollAtOnce(set, fds.length);
  return fds.filter((_, index) => set.readInt16LE(index * 8 + 6) === 0);
};

/** Reads what a descriptor that does not block has, at once; 0 bytes where it has nothing. */
export const readAtOnce = (fd: number, target: Uint8Array): number => Math.max(0, c.read(fd, target, target.length));
/** Writes to a descriptor that does not block, at once; false where it cannot take all of it. */
export const writeAtOnce = (fd: number, bytes: Uint8Array): boolean =>
  c.write(fd, bytes, bytes.length) === bytes.length;

/** Two ends of a connection, both closed on exec. */
export const socketPair = (): [number, number] => {
  const ends: [number, number] = [0, 0];
  checked("socketpair", c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  return ends;
};

const F_GETFL = 3;
const F_SETFL = 4;
const O_NONBLOCK = SOCK_NONBLOCK;

/** Lets whoever uses a descriptor, or a copy of it, wait there. */
const makeBlocking = (fd: number): void => {
  const flags = checked("fcntl", c.fcntl(fd, F_GETFL, 0), `descriptor ${fd}`);
  if (flags & O_NONBLOCK) checked("fcntl", c.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), `descriptor ${fd}`);
};

const F_DUPFD_CLOEXEC = 1030;
const STANDARD_ERROR = 2;
const O_RDWR = 2;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** The C library's structs are opaque; none of them is as large. */
const opaque = (): Buffer => Buffer.alloc(512);

/** A session of its own, and no signal ignored or blocked. */
const attributes = opaque();
c.attr_init(attributes);
c.attr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
c.attr_setsigdefault(attributes, Buffer.alloc(128, 0xff));
c.attr_setsigmask(attributes, Buffer.alloc(128));

/** A program, and where it gets its descriptors from: -1 is /dev/null. */
export interface Spawned {
  readonly file: string;
  readonly argv: readonly string[];
  readonly environment: ReadonlyMap<string, string>;
  readonly descriptors: ReadonlyMap<number, number>;
}

/**
 * Begins a program in a session of its own, in /. Until it is executed the child has our memory, not a copy of it as after
 * fork(2): to copy what tells where all our pages are takes longer than the rest.
 */
export const spawnSession = ({ file, argv, environment, descriptors }: Spawned): number => {
  const variables = [...environment].map(([name, value]) => `${name}=${value}`);
  if ([file, ...argv, ...variables].some((text) => text.includes("\0"))) {
    throw Object.assign(new Error("spawn: EINVAL, a text with NUL"), { code: "EINVAL" });
  }
  const copies: number[] = [];
  const highest = Math.max(...descriptors.keys());
  const actions = opaque();
  c.actions_init(actions);
  try {
    for (const [target, source] of descriptors) {
      if (source < 0) {
        c.actions_addopen(actions, target, "/dev/null", O_RDWR, 0);
        continue;
      }
      if (target <= STANDARD_ERROR) makeBlocking(source);
      // It must not be overwritten before it is its turn.
      const copy = source > highest ? source : checked("fcntl", c.fcntl(source, F_DUPFD_CLOEXEC, highest + 1));
      if (copy !== source) copies.push(copy);
      c.actions_adddup2(actions, copy, target);
    }
    c.actions_addchdir(actions, "/");
    const pid: [number] = [0];
    const errno = c.posix_spawn(pid, file, actions, attributes, [...argv, null], [...variables, null]);
    if (errno !== 0) throw failure("spawn", file, errno);
    return pid[0];
  } finally {
    for (const fd of copies) c.close_range(fd, fd, 0);
    c.actions_destroy(actions);
  }
};

const P_ALL = 0;
const P_PID = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
const WNOHANG = 1;

/** A child that has ended and was not reaped yet, any or this one; undefined where there is none. */
export const endedChild = (pid?: number): number | undefined => {
  const info = Buffer.alloc(128);
  if (c.waitid(pid === undefined ? P_ALL : P_PID, pid ?? 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) return undefined;
  return info.readInt32LE(16) || undefined;
};

/** Wait status of a child that has ended, undefined when `pid` is no child of ours or has not ended. */
export const reap = (pid: number): { code: number } | { signal: number } | undefined => {
  const status: [number] = [0];
  if (c.waitpid(pid, status, WNOHANG) !== pid) return undefined;
  const signal = status[0] & 0x7f;
  return signal === 0 ? { code: (status[0] >> 8) & 0xff } : { signal };
};

/** Whether a file has an extended attribute that says `1`. */
export const hasMark = (path: string, attribute: string): boolean => {
  const value = Buffer.alloc(2);
  return Number(c.getxattr(path, attribute, value, value.length)) === 1 && value[0] === "1".charCodeAt(0);
};

const MADV_DONTNEED = 4;

/**
 * Lets go of a range of this process's memory. What was not written to, of a file, is read again where it is used. A range that
 * is locked, or not there any more, stays as it is.
 */
export const letGo = (start: bigint, end: bigint): void => {
  c.madvise(start, end - start, MADV_DONTNEED);
};

/** Gives whole pages that the C library's heap has free back to the system. */
export const trimHeap = (): void => {
  c.malloc_trim(0);
};
