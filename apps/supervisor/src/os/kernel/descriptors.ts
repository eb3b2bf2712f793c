/** System calls about descriptors that Node does not offer. Each throws errno errors. */
import { checked, declare } from "./libc.ts";

const c = {
  close_range: declare("int close_range(uint32_t, uint32_t, int)"),
  read: declare("long read(int, _Out_ void *, size_t)"),
  write: declare("long write(int, const void *, size_t)"),
};

const CLOSE_RANGE_CLOEXEC = 4;
const LAST = 0xffff_ffff;

/** Sets close-on-exec for every descriptor above 2, so that a child inherits only what it is given. */
export const closeOnExec = (): void => {
  checked("close_range", c.close_range(3, LAST, CLOSE_RANGE_CLOEXEC));
};

/** Reads from a non-blocking descriptor; 0 bytes where it has nothing. Never throws. */
export const readNow = (fd: number, target: Uint8Array): number => Math.max(0, c.read(fd, target, target.length));

/** Writes to a non-blocking descriptor; false where it does not accept all of it. Never throws. */
export const writeNow = (fd: number, bytes: Uint8Array): boolean => c.write(fd, bytes, bytes.length) === bytes.length;
