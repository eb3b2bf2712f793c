import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { threadClock } from "../kernel/cpu-budget.ts";
import { identify } from "../kernel/process-table.ts";
import { readMemoryEnd, readSize, readUsage } from "./usage.ts";

const MIB = 1024 ** 2;
/** Four processes that share 32 MiB; each prints its pid. */
const SHARING = '$| = 1; $x = "x" x (32 * 1048576); fork for 1 .. 2; print "$$\\n"; sleep 60';

let leader: ChildProcess | undefined;

let group: string;

beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), "dmhost-test-"));
});
afterEach(() => {
  rmSync(group, { recursive: true });
  vi.restoreAllMocks();
  if (leader?.pid) process.kill(-leader.pid, "SIGKILL");
});

const fourProcesses = (): Promise<ProcessIdentity[]> =>
  new Promise((resolve) => {
    leader = spawn("perl", ["-e", SHARING], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    leader.stdout?.on("data", (chunk: Buffer) => {
      text += String(chunk);
      const pids = text.split("\n").slice(0, -1);
      if (pids.length === 4) resolve(pids.flatMap((pid) => identify(Number(pid)) ?? []));
    });
  });

test("shared memory counts once, also on a machine so busy that measuring takes long by the clock", async () => {
  const processes = await fourProcesses();
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += 1000;
    return now;
  });
  vi.spyOn(threadClock, "used").mockReturnValue(0);
  const inFull = readSize(processes, Number.POSITIVE_INFINITY);
  expect(inFull).toBeGreaterThan(4 * 32 * MIB);
  const once = readSize(processes, 0);
  expect(once).toBeGreaterThan(32 * MIB);
  expect(once).toBeLessThan(inFull / 3);
});

// What the kernel writes (cgroup-v2: cpu.stat); not every machine that tests has the controller.
test("processor time is that of the run's cgroup, and throttled time that of the daemon's", () => {
  const run = join(group, "1");
  mkdirSync(run);
  writeFileSync(join(group, "cpu.stat"), "usage_usec 9000000\nnr_throttled 3\nthrottled_usec 1500000\n");
  writeFileSync(join(run, "cpu.stat"), "usage_usec 2000000\nnr_throttled 0\nthrottled_usec 0\n");
  expect(readUsage(run, [])).toMatchObject({ cpu: 2, cpuThrottled: 1.5 });
});

test("usage that no controller counts is undefined", () => {
  const run = join(group, "1");
  mkdirSync(run);
  expect(readUsage(run, [])).toMatchObject({ cpu: 0, cpuThrottled: undefined, memoryPeak: undefined });
});

// What the kernel writes (cgroup-v2: memory.events); not every machine that tests has the controller.
test.each<[string, boolean]>([
  ["low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n", true],
  ["low 0\nhigh 0\nmax 12\noom 1\noom_kill 12\n", true],
  ["low 0\nhigh 0\nmax 12\noom 3\noom_kill 0\noom_group_kill 0\n", false],
  ["low 0\nhigh 0\nmax 0\noom 0\noom_group_kill 1\n", false],
])("memory.events %j says that the kernel killed for lack of memory: %s", (events, oomKilled) => {
  writeFileSync(join(group, "memory.events"), events);
  expect(readMemoryEnd(group)).toEqual({ oomKilled, peak: undefined });
  writeFileSync(join(group, "memory.peak"), "4096\n");
  expect(readMemoryEnd(group)).toEqual({ oomKilled, peak: 4096 });
});

test("without a cgroup or its memory.events nothing is known of the memory of a run that ended", () => {
  const nothing = { oomKilled: false, peak: undefined };
  expect([readMemoryEnd(group), readMemoryEnd(undefined)]).toEqual([nothing, nothing]);
});
