import { expect, test } from "vitest";
import { DEFAULTS } from "./definition.ts";
import { cgroupSettings, type GroupFile, UNLIMITED, widened, withRlimits } from "./resource-limits.ts";

const M = 1024 ** 2;
const own = { memory: 64 * M, memoryHigh: 48 * M, processes: 10, cpu: 0.5, ioWeight: 50 };
const plain = (files: readonly GroupFile[]) => files.map(([file, text]) => `${file} ${text}`);

test("each level of the cgroup tree gets a value for every limit, `max` where it has none", () => {
  const { owner, daemon, run } = cgroupSettings({ ...UNLIMITED, memory: 1024 * M, cpu: 2 }, own, {
    runs: 1,
    size: 1,
    otherProcesses: 0,
  });
  expect(plain(owner)).toEqual([
    "memory.swap.max 0",
    "memory.high max",
    "memory.max 1073741824",
    "pids.max max",
    "cpu.max 200000 100000",
    "io.weight default 100",
  ]);
  expect(plain(daemon)).toEqual([
    "memory.swap.max 0",
    "memory.high 50331648",
    "memory.max 67108864",
    "pids.max 10",
    "cpu.max 50000 100000",
    "io.weight default 50",
  ]);
  expect(plain(run)).toEqual([
    "memory.oom.group 1",
    "memory.swap.max max",
    "memory.high max",
    "memory.max max",
    "pids.max 10",
    "cpu.max max 100000",
    "io.weight default 100",
  ]);
});

test("further processes are not counted against the processes of a daemon", () => {
  const { daemon, run } = cgroupSettings(UNLIMITED, own, { runs: 2, size: 2, otherProcesses: 2 });
  expect(plain(daemon)).toContain("pids.max 12");
  expect(plain(run)).toContain("pids.max 10");
});

test("during a rolling restart the limits of a daemon grow by those of one instance", () => {
  expect(widened(own, { runs: 3, size: 2 })).toEqual({
    memory: 96 * M,
    memoryHigh: 72 * M,
    processes: 15,
    cpu: 0.75,
    ioWeight: 50,
  });
  expect(widened(own, { runs: 1, size: 4 })).toEqual(own);
  expect(widened(UNLIMITED, { runs: 2, size: 1 })).toEqual(UNLIMITED);
});

test("a CPU limit below the least quota of the kernel becomes that quota", () => {
  expect(
    plain(cgroupSettings(UNLIMITED, { ...own, cpu: 0.001 }, { runs: 1, size: 1, otherProcesses: 0 }).daemon),
  ).toContain("cpu.max 1000 100000");
});

const definition = { ...DEFAULTS, start: "x", memory: 64 * M, processes: 10 };
const both = (amount: number) => ({ soft: amount, hard: amount });

test("rlimits replace missing controllers, by the lesser of the daemon's limit and its owner's budget", () => {
  const none = new Set<string>();
  expect(withRlimits(definition, UNLIMITED, none, 2)).toMatchObject({ limitData: both(128 * M), limitNproc: both(12) });
  const budget = { ...UNLIMITED, memory: 16 * M, processes: 3 };
  expect(withRlimits(definition, budget, none, 0)).toMatchObject({ limitData: both(32 * M), limitNproc: both(3) });
  expect(withRlimits({ ...DEFAULTS, start: "x" }, budget, none, 0)).toMatchObject({ limitNproc: both(3) });
});

test("rlimits are unchanged where a cgroup enforces the limit and where the conf file sets them", () => {
  expect(withRlimits(definition, UNLIMITED, new Set(["memory", "pids"]), 2)).toEqual(definition);
  const strict = { ...definition, limitData: both(M), limitNproc: both(99) };
  expect(withRlimits(strict, UNLIMITED, new Set(), 2)).toEqual(strict);
  expect(withRlimits({ ...DEFAULTS, start: "x" }, UNLIMITED, new Set(), 2)).toEqual({ ...DEFAULTS, start: "x" });
});

test("rlimits of a conf file may be below its owner's budget, and never above", () => {
  const budget = { ...UNLIMITED, memory: 16 * M, processes: 12 };
  const lavish = { ...definition, limitData: both(999 * M), limitNproc: { soft: 20, hard: "unlimited" as const } };
  expect(withRlimits(lavish, budget, new Set(), 2)).toMatchObject({ limitData: both(32 * M), limitNproc: both(14) });
  const modest = { ...definition, limitData: both(M), limitNproc: { soft: 3, hard: 99 } };
  expect(withRlimits(modest, budget, new Set(), 2)).toMatchObject({
    limitData: both(M),
    limitNproc: { soft: 3, hard: 14 },
  });
  // Where a cgroup enforces the budget, rlimits of the file are free.
  expect(withRlimits(lavish, budget, new Set(["memory", "pids"]), 2)).toEqual(lavish);
});
