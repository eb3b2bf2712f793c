/** The memory of the supervisor itself. */
import { readFileSync } from "node:fs";
import { letGo, trimHeap } from "./libc.ts";

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p [0-9a-f]+ \S+ [1-9]\d*\s/;
/** What must have come to what was kept the last time, in bytes: to give back takes longer than to come by it. */
const WORTHWHILE = 8 << 20;

/** No page of our own: not in memory, and none that has been swapped out, which is not counted as anonymous. */
const CLEAN = ["Anonymous", "Private_Dirty", "Swap"].map((name) => new RegExp(`^${name}:\\s+0 kB$`, "m"));

/** Where mappings of files lie that can be read again from there, by what smaps (proc_pid_smaps(5)) tells. */
export const cleanMappings = (smaps: string): (readonly [start: bigint, end: bigint])[] =>
  smaps.split(/\n(?=[0-9a-f]+-)/).flatMap((text) => {
    const [, start, end] = MAPPING.exec(text) ?? [];
    const isClean = CLEAN.every((line) => line.test(text));
    return start && end && isClean ? [[BigInt(`0x${start}`), BigInt(`0x${end}`)] as const] : [];
  });

let kept = 0;

/**
 * Gives back what only the work just done has needed, if that is much: garbage, where Node runs with --expose-gc; free pages
 * of the heap; and pages of Node's program and data files, which come back out of the page cache where they are used again.
 * A mapping with a single page of our own is left as it is. Takes up to a fifth of a second: for moments when nobody waits.
 */
export const giveBackMemory = (): void => {
  try {
    giveBack();
  } catch {
    // It takes descriptors to look; all of it can be done without.
  }
};

const giveBack = (): void => {
  if (process.memoryUsage.rss() - kept < WORTHWHILE) return;
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  trimHeap();
  for (const [start, end] of cleanMappings(readFileSync("/proc/self/smaps", "latin1"))) letGo(start, end);
  kept = process.memoryUsage.rss();
};
