import { expect, test } from "vitest";
import { daemon } from "../supervisor.fake.ts";
import { topTable, usageLines } from "./usage.ts";

const M = 1024 ** 2;
const used = (memory: number, cpu: number | null) => ({
  memory,
  memoryPeak: null,
  memoryPressure: null,
  processes: 1,
  cpu,
  cpuThrottled: null,
  oomKills: null,
});

test("use and limits of a daemon are printed a line each, and nothing where there is none", () => {
  expect(usageLines(daemon("a/x"))).toEqual([]);
  const limits = {
    enforcedBy: "rlimit+watch (no cgroup2)",
    keys: [
      { key: "memory", value: "64 MiB", budget: false, enforcedBy: "rlimit+watch", pending: false, note: "" },
      { key: "cpu", value: "2", budget: true, enforcedBy: "nothing", pending: false, note: "not enforced" },
    ],
  } as const;
  const usage = { ...used(10 * M, 61), cpuThrottled: 0.25, memoryPeak: 20 * M, memoryPressure: 1.5, oomKills: 1 };
  expect(
    usageLines(daemon("a/x", { usage, limits: { enforcedBy: limits.enforcedBy, keys: [...limits.keys] } })),
  ).toEqual([
    "usage: memory 10 MiB, peak 20 MiB, 1 process, cpu 1m1s, throttled 0.3s, memory pressure 1.5 %, 1 out of memory",
    "limits: rlimit+watch (no cgroup2)",
    "  memory=64 MiB, enforced by rlimit+watch",
    "  cpu=2 for all of its owner's, enforced by nothing: not enforced",
  ]);
});

test("top lists running daemons by processor share, then by memory; one with a new process has no share yet", () => {
  const daemons = [
    daemon("a/small", { usage: used(M, 1) }),
    daemon("a/large", { usage: used(50 * M, 1) }),
    daemon("a/busy", { usage: used(M, 4) }),
    daemon("a/new", { usage: used(2 * M, 9), pid: 2 }),
    daemon("a/off", { usage: null }),
  ];
  const before = new Map(["small", "large", "busy", "new"].map((name) => [`a/${name}`, { cpu: 1, at: 0, pid: 4711 }]));
  const lines = topTable(daemons, before, 2000).trimEnd().split("\n");
  expect(lines.map((line) => line.split(/ +/)[0])).toEqual(["daemon-id", "a/busy", "a/large", "a/new", "a/small"]);
  expect(lines[1]).toMatch(/^a\/busy +1MiB +- +- +1 +4s +150 +-$/);
  expect(lines[3]).toMatch(/^a\/new +2MiB +- +- +1 +9s +- +-$/);
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
});
