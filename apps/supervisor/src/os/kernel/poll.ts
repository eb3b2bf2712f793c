/** poll(2) over raw descriptors. */
import { checked, declare } from "./libc.ts";
import { uninterrupted } from "./uninterrupted.ts";

const poll = declare("int poll(void *, unsigned long, int)");

const POLLIN = 0x1;
const POLLOUT = 0x4;
/** Bytes of a struct pollfd. */
const ENTRY = 8;

const setOf = (fds: readonly number[], events: number): Buffer => {
  const set = Buffer.alloc(ENTRY * fds.length);
  for (const [index, fd] of fds.entries()) {
    set.writeInt32LE(fd, index * ENTRY);
    set.writeInt16LE(events, index * ENTRY + 4);
  }
  return set;
};

const eventsOf = (set: Buffer, index: number): number => set.readInt16LE(index * ENTRY + 6);

/** Polls without waiting. A signal, such as SIGCHLD, can interrupt even that when no descriptor is ready. */
const pollNow = (fds: readonly number[], events: number): Buffer => {
  const set = setOf(fds, events);
  uninterrupted(() => checked("poll", poll(set, fds.length, 0)));
  return set;
};

/** Whether a descriptor has something to read now. */
export const hasInput = (fd: number): boolean => (eventsOf(pollNow([fd], POLLIN), 0) & POLLIN) !== 0;

/** Those of `fds` to which nothing can be written now: full pipes. */
export const fullPipes = (fds: readonly number[]): number[] => {
  const set = pollNow(fds, POLLOUT);
  return fds.filter((_, index) => eventsOf(set, index) === 0);
};
