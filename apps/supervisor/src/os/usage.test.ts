import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readUsage } from "./usage.ts";

let daemon = "";
let run = "";
beforeEach(() => {
  daemon = mkdtempSync(join(tmpdir(), "dmhost-test-"));
  run = join(daemon, "1");
  mkdirSync(run);
});
afterEach(() => rmSync(daemon, { recursive: true }));

// What the kernel writes (cgroup-v2: cpu.stat); not every machine that tests has the controller.
test("processor time is the run's, and being held back is what the group with cpu.max has counted", () => {
  writeFileSync(join(daemon, "cpu.stat"), "usage_usec 9000000\nnr_periods 9\nnr_throttled 3\nthrottled_usec 1500000\n");
  writeFileSync(join(run, "cpu.stat"), "usage_usec 2000000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
  expect(readUsage(run, [])).toMatchObject({ cpu: 2, throttled: 1.5 });
});

test("where nobody counts, nothing is told", () => {
  expect(readUsage(run, [])).toMatchObject({ cpu: 0, throttled: undefined, memoryPeak: undefined });
});
