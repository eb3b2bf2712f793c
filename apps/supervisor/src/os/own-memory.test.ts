import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

/** What a program of its own tells: kilobytes of files that it has in memory before and after, and that it still works. */
const PROGRAM = `
  import { readFileSync } from "node:fs";
  import { giveBackMemory } from "${import.meta.dirname}/own-memory.ts";
  const files = () => Number(/^Pss_File:\\s+(\\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "latin1"))[1]);
  const before = files();
  giveBackMemory();
  const after = files();
  const sorted = Array.from({ length: 1e5 }, (_, at) => at ^ 0x5a5a).sort((a, b) => a - b);
  console.log(JSON.stringify([before, after, sorted[4242], new Intl.NumberFormat("de").format(1234.5)]));
`;

it("gives back pages of Node's own files, and nothing is missing afterwards", () => {
  const told = execFileSync(process.execPath, ["--input-type=module", "-e", PROGRAM], { encoding: "utf8" });
  const [before, after, sorted, written] = JSON.parse(told);
  expect(after).toBeLessThan(before / 2);
  expect([sorted, written]).toEqual([4242, "1.234,5"]);
});
