/**
 * Limits on real processes. What holds them differs from machine to machine, and so does what is expected: where the
 * supervisor has the controllers of cgroup v2, the kernel holds them; elsewhere rlimits and a watch do, or nothing, which
 * must be said.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus, Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { limitsOf, processesOf } from "./proc.ts";
import { DMCTL, run, until } from "./program.ts";
import { BUSY, bomb, hog, sharing } from "./runaways.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const M = 1024 ** 2;

let stage: Stage;
let alice: Account;
let carol: Account;
let supervisor: Supervisor;
/** Controllers that the supervisor under test has. */
let controllers: ReadonlySet<string>;

const idOf = (account: Account, name: string): string => `${account.name}/${name}`;

/** So that nothing comes after a run that hides how it ended. */
const ONE_RUN = ["max-retries = 0", "healthy-after = 10m"];

const group = (account: Account, name?: string): string | undefined =>
  ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
    .map((mount) => join(mount, supervisor.cgroup, account.name, name === undefined ? "" : `${name}.d`))
    .find((path) => existsSync(join(path, "cgroup.procs")));
const fileOf = (account: Account, name: string | undefined, file: string): string =>
  readFileSync(join(group(account, name) ?? "", file), "utf8").trim();

const explained = async (id: string): Promise<Explanation> =>
  (await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(id)}/explanation`)).body as Explanation;
const dmctl = async (...words: string[]): Promise<string> => {
  const env = { PATH: "/usr/bin:/bin", DMCTL_SOCKET: supervisor.socket };
  const { code, stdout, stderr } = await run([...DMCTL, ...words], { env });
  if (code !== 0) throw new Error(`dmctl ${words.join(" ")}: exit code ${code}: ${stderr}`);
  return stdout;
};
const heldBy = ({ limits }: DaemonStatus, key: string): string | undefined =>
  limits.keys.find((limit) => limit.key === key && !limit.budget)?.enforcedBy;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  carol = await stage.account("carol");
  supervisor = stage.supervisor("main", [
    "[runs_as]",
    alice.name,
    carol.name,
    "[limits]",
    `${carol.name}: memory = 96M`,
  ]);
  const idle = [
    ...["memory = 64M", "memory-high = 48M", "processes = 5", "cpu = 0.5", "io-weight = 50"],
    "autostart = no",
  ];
  alice.writeConf("idle", "start = exec sleep 600", ...idle);
  alice.writeConf("free", "start = exec sleep 600", "autostart = no");
  alice.writeConf("slow", `start = ${hog(4, 0.05, 64)}`, "memory = 48M", "autostart = no");
  alice.writeConf("instant", `start = ${hog(400, 0, 400)}`, "memory = 48M", "max-retries = 0", "autostart = no");
  alice.writeConf(
    "spread",
    `start = for i in 1 2 3; do ${hog(24, 0, 24).slice(5)} & done; wait`,
    "memory = 48M",
    "autostart = no",
  );
  alice.writeConf("shared", `start = ${sharing(24)}`, "memory = 48M", "autostart = no", ...ONE_RUN);
  alice.writeConf("busy", `start = ${BUSY}`, "cpu = 0.2", "autostart = no");
  alice.writeConf(
    "site",
    "listen = fastcgi",
    "start = exec sleep 600",
    "processes = 2",
    "memory = 64M",
    "autostart = no",
  );
  carol.writeConf("bomb", `start = ${bomb(60, 0.05)}`, "processes = 12", "autostart = no");
  carol.writeConf("one", `start = ${hog(32, 0, 32)}`, "autostart = no");
  carol.writeConf("two", `start = ${hog(48, 0, 48)}`, "autostart = no");
  carol.writeConf("three", `start = ${hog(40, 0, 40)}`, "autostart = no");
  await supervisor.start();
  await supervisor.up(idOf(alice, "idle"));
  const { limits } = await supervisor.status(idOf(alice, "idle"));
  const enforced = limits.keys.filter(({ enforcedBy }) => enforcedBy === "cgroup").map(({ key }) => key);
  controllers = new Set(enforced);
});
afterAll(() => stage.remove());

test("every limit is held by the kernel, or says by what else and why, and warns where it does not hold", async () => {
  const status = await supervisor.status(idOf(alice, "idle"));
  expect(status.limits.keys.map(({ key, value }) => `${key}=${value}`)).toEqual([
    "memory=64M",
    "memory-high=48M",
    "processes=5",
    "cpu=0.5",
    "io-weight=50",
  ]);
  const files = { memory: "memory.max 67108864", "memory-high": "memory.high 50331648", processes: "pids.max 5" };
  const others = { cpu: "cpu.max 50000 100000", "io-weight": "io.weight default 50" };
  const elsewhere = { memory: "rlimit+watch", processes: "rlimit" };
  for (const [key, told] of Object.entries({ ...files, ...others })) {
    const by = heldBy(status, key);
    if (by === "cgroup") {
      const [file = "", ...words] = told.split(" ");
      expect(fileOf(alice, "idle", file)).toBe(words.join(" "));
      expect(status.warnings.join("\n")).not.toContain(`${key}=`);
      continue;
    }
    expect(by).toBe({ ...elsewhere }[key] ?? "nothing");
    expect(status.limits.enforcedBy).toMatch(/\(.*does not offer .*\)$|\(no cgroup2 file system is mounted\)$/);
    if (by !== "rlimit+watch")
      expect(status.warnings.join("\n")).toMatch(new RegExp(`(^|\n)${key}=.*: the cgroup2|mounted`));
  }
  const output = await dmctl("status", "--long", idOf(alice, "idle"));
  expect(output).toContain("  usage: memory ");
  expect(output).toContain(
    `  limits: ${status.limits.enforcedBy}\n    memory=64M, held by ${heldBy(status, "memory")}`,
  );
  expect(await dmctl("explain", idOf(alice, "idle"))).toContain(`limits       ${status.limits.enforcedBy}\n`);
});

test("a daemon without limits has none to speak of, and rlimits that are the supervisor's own", async () => {
  const { pid } = await supervisor.up(idOf(alice, "free"));
  const { limits, warnings } = await supervisor.status(idOf(alice, "free"));
  expect([limits, warnings]).toEqual([{ enforcedBy: "", keys: [] }, []]);
  expect(limitsOf(pid)["Max data size"]).toBe(limitsOf(supervisor.pid)["Max data size"]);
});

test("a slow memory hog is killed out of memory, reports limit and peak, and is started again", async () => {
  const id = idOf(alice, "slow");
  const { pid } = await supervisor.up(id);
  const status = await until("its next run", async () => {
    const now = await supervisor.status(id);
    return now.respawns >= 1 && now.pid !== pid && now;
  });
  expect(status.respawns).toBeGreaterThanOrEqual(1);
  const { lastExit } = await explained(id);
  expect(lastExit).toMatchObject({ how: "out-of-memory", memory: { limit: 48 * M } });
  expect(lastExit?.text).toMatch(/^out of memory: used \d+(\.\d+)? MiB of 48 MiB$/);
  const peak = lastExit?.memory?.peak ?? 0;
  expect(peak).toBeGreaterThan(40 * M);
  // The kernel grants a few pages more to what it is about to end. RLIMIT_DATA is twice the limit: more than that no
  // process has, however late the watch looks.
  expect(peak).toBeLessThanOrEqual(controllers.has("memory") ? 50 * M : 100 * M);
  expect(await dmctl("explain", id)).toContain("out of memory: used ");
  await supervisor.act("stop", id);
});

test("an instant one does not get what it asks for, not for a moment", async () => {
  const id = idOf(alice, "instant");
  await supervisor.act("start", id);
  await supervisor.reaches(id, "failed");
  const { lastExit } = await explained(id);
  // Where rlimits must do, the program itself is told that there is no more.
  expect(lastExit?.how).toBe(controllers.has("memory") ? "out-of-memory" : "code");
  if (!controllers.has("memory")) expect(lastExit?.code).not.toBe(0);
});

test("memory is counted over all processes, and what they share once", async () => {
  await supervisor.up(idOf(alice, "shared"));
  await supervisor.act("start", idOf(alice, "spread"));
  await until("the end of what has 72 MiB in three processes", async () => {
    return (await explained(idOf(alice, "spread"))).lastExit?.how === "out-of-memory";
  });
  await supervisor.act("stop", idOf(alice, "spread"));
  // It had at least as long as the other to be found out.
  expect(await supervisor.status(idOf(alice, "shared"))).toMatchObject({ state: "running", respawns: 0 });
});

test("an owner's daemons together keep within the budget: the largest goes, and other owners' are untouched", async () => {
  await supervisor.up(idOf(carol, "one"));
  await supervisor.up(idOf(carol, "two"));
  await supervisor.act("start", idOf(carol, "three"));
  const names = ["one", "two", "three"];
  const victim = await until("an exit out of memory", async () => {
    for (const name of names) {
      if ((await explained(idOf(carol, name))).lastExit?.how === "out-of-memory") return name;
    }
    return false;
  });
  const told = await explained(idOf(carol, victim));
  expect(told.lastExit?.memory?.limit).toBe(96 * M);
  expect(told.budget).toEqual([{ key: "memory", value: "96M", source: expect.stringMatching(/policy\.conf:\d+$/) }]);
  for (const name of names) await supervisor.act("stop", idOf(carol, name));
  expect(await supervisor.status(idOf(alice, "idle"))).toMatchObject({ state: "running", respawns: 0 });
});

test("a fork bomb stays within its processes, and ends with a stop", async () => {
  const id = idOf(carol, "bomb");
  await supervisor.act("start", id);
  await until("a bomb that has all it gets", () => processesOf(carol.uid).length >= 12);
  for (let look = 0; look < 20; look += 1) {
    expect(processesOf(carol.uid).length).toBeLessThanOrEqual(12);
    await supervisor.status(id);
  }
  expect((await supervisor.status(id)).usage?.processes).toBeLessThanOrEqual(12);
  const { ok } = await supervisor.act("stop", id);
  expect([ok, processesOf(carol.uid)]).toEqual([true, []]);
});

test("a busy loop is held to its part of a processor, or says that nothing does", async () => {
  const id = idOf(alice, "busy");
  await supervisor.up(id);
  const status = await until("some processor time", async () => {
    const now = await supervisor.status(id);
    return (now.usage?.cpu ?? 0) > 0.3 && now;
  });
  if (controllers.has("cpu")) expect(status.usage?.cpuThrottled).toBeGreaterThan(0);
  else {
    expect(heldBy(status, "cpu")).toBe("nothing");
    expect(status.warnings.join("\n")).toMatch(/^cpu=0\.2 is not enforced: /);
  }
  const top = (await dmctl("top")).split("\n");
  expect(top[0]).toMatch(/^daemon-id +memory +limit +peak +procs +cpu +cpu% +throttled$/);
  expect(top.find((line) => line.startsWith(id))).toMatch(/ (\d+(\.\d+)?s|\d+m\d+s) +- /);
  const listed = await dmctl("top", "--json");
  const { daemons } = JSON.parse(listed) as { daemons: DaemonStatus[] };
  expect(daemons.find((each) => each.id === id)?.usage?.cpu).toBeGreaterThan(0.3);
  await supervisor.act("stop", id);
});

test("what stands by for the next start takes no process of a daemon's away", async () => {
  const id = idOf(alice, "site");
  await supervisor.up(id);
  const { ok } = await supervisor.act("restart", id);
  expect(ok).toBe(true);
  const { pid, respawns } = await supervisor.reaches(id, "running");
  expect([pid > 0, respawns]).toEqual([true, 0]);
  await supervisor.act("stop", id);
});

describe("a changed limit", () => {
  test("holds for what runs at the next rescan where the kernel can, and is pending where it cannot", async () => {
    const id = idOf(alice, "idle");
    const { pid } = await supervisor.status(id);
    const lines = [
      "memory = 32M",
      "memory-high = 48M",
      "processes = 7",
      "cpu = 0.25",
      "io-weight = 50",
      "autostart = no",
    ];
    alice.writeConf("idle", "start = exec sleep 600", ...lines);
    await supervisor.rescan();
    const status = await supervisor.status(id);
    expect(status.pid).toBe(pid);
    const pending = status.limits.keys.filter((limit) => limit.pending).map(({ key }) => key);
    expect(status.limits.keys.map(({ key, value }) => `${key}=${value}`)).toContain("processes=7");
    if (controllers.has("memory")) expect(fileOf(alice, "idle", "memory.max")).toBe(`${32 * M}`);
    if (controllers.has("cpu")) expect(fileOf(alice, "idle", "cpu.max")).toBe("25000 100000");
    if (controllers.has("processes")) {
      expect(fileOf(alice, "idle", "pids.max")).toBe("7");
      expect([pending, status.configChanged]).toEqual([[], false]);
      return;
    }
    expect([pending, status.configChanged]).toEqual([["processes"], true]);
    expect(limitsOf(pid)["Max processes"]).toBe("5 5");
    await supervisor.act("restart", id);
    const after = await supervisor.status(id);
    expect([after.configChanged, after.limits.keys.some((limit) => limit.pending)]).toEqual([false, false]);
    expect(limitsOf(after.pid)["Max processes"]).toBe("7 7");
  });

  test("that is passed already ends the run", async () => {
    const id = idOf(alice, "shared");
    const { pid } = await supervisor.up(id);
    alice.writeConf("shared", `start = ${sharing(24)}`, "memory = 12M", "autostart = no", ...ONE_RUN);
    await supervisor.rescan();
    await until("its end", async () => (await supervisor.status(id)).pid !== pid);
    expect((await explained(id)).lastExit).toMatchObject({ how: "out-of-memory", memory: { limit: 12 * M } });
    await supervisor.act("stop", id);
  });
});
