/** The memory of the supervisor itself. */
import { readFileSync } from "node:fs";
import { letGo } from "./libc.ts";

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) r-.p [0-9a-f]+ \S+ [1-9]\d*\s/;

/**
 * Gives back what only the start needed: pages of Node's program and data files that are mapped and not ours alone. Each that
 * is used again comes back out of the page cache. A mapping with a single page of our own is left as it is.
 */
export const releaseStartup = (): void => {
  for (const text of readFileSync("/proc/self/smaps", "latin1").split(/\n(?=[0-9a-f]+-)/)) {
    const [, start, end] = MAPPING.exec(text) ?? [];
    const isClean = /^Anonymous:\s+0 kB$/m.test(text) && /^Private_Dirty:\s+0 kB$/m.test(text);
    if (start && end && isClean) letGo(BigInt(`0x${start}`), BigInt(`0x${end}`));
  }
};
