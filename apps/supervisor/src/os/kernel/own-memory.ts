/** Returns memory of the supervisor itself to the system. */
import { readFileSync } from "node:fs";
import { declare } from "./libc.ts";

const madvise = declare("int madvise(size_t, size_t, int)");
const mallocTrim = declare("int malloc_trim(size_t)");

const MADV_DONTNEED = 4;
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p [0-9a-f]+ \S+ [1-9]\d*\s/;
/** Growth since the last release from which another one is worth its time. In bytes. */
const WORTHWHILE = 8 << 20;

/** No private page in memory or in swap (swap does not count as anonymous). */
const CLEAN = ["Anonymous", "Private_Dirty", "Swap"].map((name) => new RegExp(`^${name}:\\s+0 kB$`, "m"));

/** Mappings of files without private pages, out of the text of smaps (proc_pid_smaps(5)). */
export const cleanMappings = (smaps: string): (readonly [start: bigint, end: bigint])[] =>
  smaps.split(/\n(?=[0-9a-f]+-)/).flatMap((text) => {
    const [, start, end] = MAPPING.exec(text) ?? [];
    const isClean = CLEAN.every((line) => line.test(text));
    return start && end && isClean ? [[BigInt(`0x${start}`), BigInt(`0x${end}`)] as const] : [];
  });

/** Resident bytes after the last release. */
let kept = 0;

/**
 * Releases what the latest work needed, if that is much: garbage, where Node runs with --expose-gc; free pages of the heap;
 * and pages of Node's program and data files, which the page cache still has. May take a fifth of a second, so call it
 * when no client waits. Never throws.
 */
export const releaseMemory = (): void => {
  try {
    release();
  } catch {
    // No descriptor to read smaps with; a later release finds one.
  }
};

const release = (): void => {
  if (process.memoryUsage.rss() - kept < WORTHWHILE) return;
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  mallocTrim(0);
  for (const [start, end] of cleanMappings(readFileSync("/proc/self/smaps", "latin1"))) {
    // Fails for a locked or unmapped range, which then stays as it is.
    madvise(start, end - start, MADV_DONTNEED);
  }
  kept = process.memoryUsage.rss();
};
