import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { cleanMappings } from "./own-memory.ts";

/**
 * Prints kilobytes of files that the process has in memory before and after, and proves that it still works. Not its proportional
 * set size (Pss_File): that grows when another process of the same Node ends in between.
 */
const PROGRAM = `
  import { readFileSync } from "node:fs";
  import { releaseMemory } from "${import.meta.dirname}/own-memory.ts";
  const files = () => {
    const text = readFileSync("/proc/self/smaps_rollup", "latin1");
    return Number(/^Rss:\\s+(\\d+)/m.exec(text)[1]) - Number(/^Anonymous:\\s+(\\d+)/m.exec(text)[1]);
  };
  const before = files();
  releaseMemory();
  const after = files();
  const sorted = Array.from({ length: 1e5 }, (_, at) => at ^ 0x5a5a).sort((a, b) => a - b);
  console.log(JSON.stringify([before, after, sorted[4242], new Intl.NumberFormat("de").format(1234.5)]));
`;

it("releaseMemory releases pages of Node's program files, and Node works as before", () => {
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", PROGRAM], { encoding: "utf8" });
  const [before, after, sorted, written] = JSON.parse(output);
  expect(before).toBeGreaterThan(0);
  expect(after).toBeLessThan(before / 2);
  expect([sorted, written]).toEqual([4242, "1.234,5"]);
});

const mapping = (start: string, { anonymous = 0, dirty = 0, swap = 0 }): string =>
  [
    `${start}000-${start}fff r--p 00000000 08:01 1234                       /usr/lib/libc.so.6`,
    "Private_Clean:         8 kB",
    `Private_Dirty:         ${dirty} kB`,
    `Anonymous:             ${anonymous} kB`,
    `Swap:                  ${swap} kB`,
    "VmFlags: rd mr mw me",
    "",
  ].join("\n");

it("cleanMappings leaves out a mapping with anonymous, dirty or swapped pages", () => {
  const own = [mapping("b", { anonymous: 4 }), mapping("c", { dirty: 4 }), mapping("d", { swap: 4 })];
  expect(cleanMappings([mapping("a", {}), ...own, mapping("e", {})].join(""))).toEqual([
    [0xa000n, 0xafffn],
    [0xe000n, 0xefffn],
  ]);
});

/** The same where a page of a file cannot be given back. */
const LOCKED = `
  import koffi from "koffi";
  import { readFileSync } from "node:fs";
  import { releaseMemory } from "${import.meta.dirname}/own-memory.ts";
  const [, start] = /^([0-9a-f]+)-[0-9a-f]+ r--p 0+ \\S+ [1-9]/m.exec(readFileSync("/proc/self/maps", "latin1"));
  const mlock = koffi.load("libc.so.6").func("int mlock(size_t, size_t)");
  if (mlock(BigInt("0x" + start), 4096n) !== 0) throw new Error("cannot lock");
  releaseMemory();
  console.log("continues");
`;

it("releaseMemory continues where the kernel refuses to release a locked page", () => {
  const argv = ["--input-type=module", "-e", LOCKED];
  expect(execFileSync(process.execPath, argv, { encoding: "utf8", cwd: import.meta.dirname })).toBe("continues\n");
});

/** The same in a process that has no descriptor left. */
const CROWDED = `
  import { openSync } from "node:fs";
  import { releaseMemory } from "${import.meta.dirname}/own-memory.ts";
  try { for (;;) openSync("/dev/null"); } catch {}
  releaseMemory();
  console.log("continues");
`;

it("releaseMemory does nothing where no descriptor is left to read smaps with", () => {
  const argv = ["--nofile=64:64", process.execPath, "--input-type=module", "-e", CROWDED];
  expect(execFileSync("prlimit", argv, { encoding: "utf8" })).toBe("continues\n");
});
