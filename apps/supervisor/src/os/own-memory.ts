/** The memory of the supervisor itself. */
import { readFileSync } from "node:fs";
import { letGo, trimHeap } from "./libc.ts";

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p [0-9a-f]+ \S+ [1-9]\d*\s/;
/** What must have come to what was kept the last time, in bytes: to give back takes longer than to come by it. */
const WORTHWHILE = 8 << 20;

let kept = 0;

/**
 * Gives back what only the work just done has needed, if that is much: garbage, where Node runs with --expose-gc; free pages
 * of the heap; and pages of Node's program and data files, which come back out of the page cache where they are used again.
 * A mapping with a single page of our own is left as it is. Takes up to a fifth of a second: for moments when nobody waits.
 */
export const giveBackMemory = (): void => {
  if (process.memoryUsage.rss() - kept < WORTHWHILE) return;
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  trimHeap();
  for (const text of readFileSync("/proc/self/smaps", "latin1").split(/\n(?=[0-9a-f]+-)/)) {
    const [, start, end] = MAPPING.exec(text) ?? [];
    const isClean = /^Anonymous:\s+0 kB$/m.test(text) && /^Private_Dirty:\s+0 kB$/m.test(text);
    if (start && end && isClean) letGo(BigInt(`0x${start}`), BigInt(`0x${end}`));
  }
  kept = process.memoryUsage.rss();
};
