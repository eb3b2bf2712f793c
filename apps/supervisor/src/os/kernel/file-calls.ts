/** System calls about files that Node does not offer. Each throws errno errors. */
import { checked, declare } from "./libc.ts";

const c = {
  renameat2: declare("int renameat2(int, const char *, int, const char *, uint32_t)"),
  flock: declare("int flock(int, int)"),
  getxattr: declare("long getxattr(const char *, const char *, _Out_ void *, size_t)"),
};

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** Exchanges the names of two files in one step; throws where one is missing, or where the file system cannot. */
export const exchangeFiles = (one: string, other: string): void => {
  checked("renameat2", c.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE), other);
};

const LOCK_EX_NB = 2 | 4;

/** Locks a file for as long as its descriptor is open; throws EAGAIN where another process holds the lock. */
export const lock = (fd: number): void => {
  checked("flock", c.flock(fd, LOCK_EX_NB));
};

/** Whether a file has an extended attribute with the value `1`. Never throws. */
export const hasMark = (path: string, attribute: string): boolean => {
  const value = Buffer.alloc(2);
  return Number(c.getxattr(path, attribute, value, value.length)) === 1 && value[0] === "1".charCodeAt(0);
};
