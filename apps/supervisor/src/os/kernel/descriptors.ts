/** System calls about descriptors that Node does not offer. Each throws errno errors. */
import { checked, declare } from "./libc.ts";

const c = {
  close_range: declare("int close_range(uint32_t, uint32_t, int)"),
  fcntl: declare("int fcntl(int, int, int)"),
  memfd_create: declare("int memfd_create(const char *, uint32_t)"),
  eventfd: declare("int eventfd(uint32_t, int)"),
  read: declare("long read(int, _Out_ void *, size_t)"),
  write: declare("long write(int, const void *, size_t)"),
};

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_DUPFD_CLOEXEC = 1030;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;
const CLOSE_RANGE_CLOEXEC = 4;
const LAST = 0xffff_ffff;

/** Keeps a descriptor open across exec. */
export const keepOnExec = (fd: number): void => {
  checked("fcntl", c.fcntl(fd, F_SETFD, 0), `descriptor ${fd}`);
};

/** Sets close-on-exec for every descriptor above 2, so that a child inherits only what it is given. */
export const closeOnExec = (): void => {
  checked("close_range", c.close_range(3, LAST, CLOSE_RANGE_CLOEXEC));
};

/** A copy of a descriptor, closed on exec, with the lowest free number from `lowest` on. */
export const duplicate = (fd: number, lowest: number): number =>
  checked("fcntl", c.fcntl(fd, F_DUPFD_CLOEXEC, lowest), `descriptor ${fd}`);

/** Makes reads and writes wait, for every descriptor of this open file. */
export const makeBlocking = (fd: number): void => {
  const flags = checked("fcntl", c.fcntl(fd, F_GETFL, 0), `descriptor ${fd}`);
  if (flags & O_NONBLOCK) checked("fcntl", c.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), `descriptor ${fd}`);
};

/** Descriptor of an empty file in memory; `name` shows in /proc. */
export const memoryFile = (name: string): number => checked("memfd_create", c.memfd_create(name, MFD_CLOEXEC), name);

/** Descriptor that is readable after 8 bytes were written to it. */
export const eventfd = (): number => checked("eventfd", c.eventfd(0, O_CLOEXEC | O_NONBLOCK));

/** Reads from a non-blocking descriptor; 0 bytes where it has nothing. Never throws. */
export const readNow = (fd: number, target: Uint8Array): number => Math.max(0, c.read(fd, target, target.length));

/** Writes to a non-blocking descriptor; false where it does not accept all of it. Never throws. */
export const writeNow = (fd: number, bytes: Uint8Array): boolean => c.write(fd, bytes, bytes.length) === bytes.length;
