import { expect, test } from "vitest";
import { DEFAULTS, type Definition } from "../core/definition.ts";
import type { Terms } from "../core/terms.ts";
import { cgroupSettingsOf, type DaemonLimitsHost, limitsOf, memoryLimitOf, relimited } from "./daemon-limits.ts";
import { accountOf, Scene } from "./scene.fake.ts";

const termsOf = (own: Partial<Definition>, fingerprint = "x"): Terms => ({
  definition: { ...DEFAULTS, start: "exec program", ...own },
  fingerprint,
  account: accountOf("alice", 1001),
  logDirectory: "/home/alice/log",
  nginxGroup: "nginx",
});
const hostOf = (terms: Terms | undefined, instances: DaemonLimitsHost["instances"] = () => []): DaemonLimitsHost => ({
  terms,
  size: 1,
  ownerContext: { budget: { memory: { amount: 1 << 30, line: 3 } } },
  means: { controllers: new Set(["memory", "pids", "cpu", "io"]), swaps: undefined, why: "" },
  instances,
});
const processesOf = (own: Partial<Definition>): string | undefined => {
  const terms = termsOf({ processes: 10, ...own });
  return new Map(cgroupSettingsOf(hostOf(terms), terms).daemon).get("pids.max");
};

test("a daemon may have four processes more for its own logger", () => {
  expect(processesOf({})).toBe("10");
  expect(processesOf({ output: "log/run" })).toBe("14");
});

test("the owner's cgroup has the budget, and the daemon's has the limits of the conf file", () => {
  const terms = termsOf({ memory: 64 << 20 });
  const { owner, daemon } = cgroupSettingsOf(hostOf(terms), terms);
  expect(owner).toContainEqual(["memory.max", `${1 << 30}`]);
  expect(daemon).toContainEqual(["memory.max", `${64 << 20}`]);
});

test("each live run has room in the memory limit", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
  const terms = termsOf({ memory: 64 << 20 });
  expect(memoryLimitOf(hostOf(terms))).toBe(64 << 20);
  expect(memoryLimitOf(hostOf(terms, () => daemon.instances()))).toBe(128 << 20);
  expect(memoryLimitOf(hostOf(undefined))).toBeUndefined();
});

test("a daemon without terms has no limits, and one with terms has its own and its owner's", () => {
  expect(limitsOf(hostOf(undefined))).toEqual([]);
  expect(limitsOf(hostOf(termsOf({ processes: 10 }))).map(({ key }) => key)).toContain("processes");
});

test("terms with other limits keep their fingerprint unless nothing else differs", () => {
  const present = termsOf({ memory: 64 << 20 }, "present");
  const limits = relimited(present, termsOf({ memory: 32 << 20 }, "next"));
  expect([limits.definition.memory, limits.fingerprint]).toEqual([32 << 20, "next"]);
  const more = relimited(present, termsOf({ memory: 32 << 20, dir: "/srv" }, "next"));
  expect([more.definition.memory, more.definition.dir, more.fingerprint]).toEqual([32 << 20, "/", "present"]);
});
