/**
 * Limits on real processes. The expectations depend on the machine: where the supervisor has the controllers of cgroup v2,
 * the kernel enforces limits; elsewhere rlimits and a watch enforce them, or nothing does, which the status must show.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonStatus, Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { kill, limitsOf, processesOf } from "./proc.ts";
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

/** Keys that prevent a second run, which would hide how the first one ended. */
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
const enforcedBy = ({ limits }: DaemonStatus, key: string): string | undefined =>
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

test("status says by what each limit is enforced and why, and warns about each that is not enforced", async () => {
  const status = await supervisor.status(idOf(alice, "idle"));
  expect(status.limits.keys.map(({ key, value }) => `${key}=${value}`)).toEqual([
    "memory=64 MiB",
    "memory-high=48 MiB",
    "processes=5",
    "cpu=0.5",
    "io-weight=50",
  ]);
  const files = { memory: "memory.max 67108864", "memory-high": "memory.high 50331648", processes: "pids.max 5" };
  const others = { cpu: "cpu.max 50000 100000", "io-weight": "io.weight default 50" };
  const elsewhere = { memory: "rlimit+watch", processes: "rlimit" };
  for (const [key, setting] of Object.entries({ ...files, ...others })) {
    const by = enforcedBy(status, key);
    if (by === "cgroup") {
      const [file = "", ...words] = setting.split(" ");
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
    `  limits: ${status.limits.enforcedBy}\n    memory=64 MiB, enforced by ${enforcedBy(status, "memory")}`,
  );
  expect(await dmctl("explain", idOf(alice, "idle"))).toContain(`limits       ${status.limits.enforcedBy}\n`);
});

test("a daemon without limits reports none and inherits the supervisor's rlimits", async () => {
  const { pid } = await supervisor.up(idOf(alice, "free"));
  const { limits, warnings } = await supervisor.status(idOf(alice, "free"));
  expect([limits, warnings]).toEqual([{ enforcedBy: "", keys: [] }, []]);
  expect(limitsOf(pid)["Max data size"]).toBe(limitsOf(supervisor.pid)["Max data size"]);
});

test("a daemon that slowly exceeds memory= is killed, reports its limit and peak, and is started again", async () => {
  const id = idOf(alice, "slow");
  const { pid } = await supervisor.up(id);
  const status = await until("the next run", async () => {
    const now = await supervisor.status(id);
    return now.respawns >= 1 && now.pid !== pid && now;
  });
  expect(status.respawns).toBeGreaterThanOrEqual(1);
  const { lastExit } = await explained(id);
  expect(lastExit).toMatchObject({ how: "out-of-memory", memory: { limit: 48 * M } });
  expect(lastExit?.text).toMatch(/^out of memory: used \d+(\.\d+)? MiB of 48 MiB$/);
  const peak = lastExit?.memory?.peak ?? 0;
  expect(peak).toBeGreaterThan(40 * M);
  // The kernel grants a few more pages to a process that it is about to kill. RLIMIT_DATA is twice the limit, so no
  // process gets more, however late the watch samples it.
  expect(peak).toBeLessThanOrEqual(controllers.has("memory") ? 50 * M : 100 * M);
  expect(await dmctl("explain", id)).toMatch(/out of memory: used \d+(\.\d+)? MiB of 48 MiB/);
  await supervisor.act("stop", id);
});

test("a daemon that allocates far more than memory= at once never gets it", async () => {
  const id = idOf(alice, "instant");
  await supervisor.act("start", id);
  await supervisor.reaches(id, "failed");
  const { lastExit } = await explained(id);
  // Under an rlimit the allocation itself fails.
  expect(lastExit?.how).toBe(controllers.has("memory") ? "out-of-memory" : "code");
  if (!controllers.has("memory")) expect(lastExit?.code).not.toBe(0);
});

test("memory= counts the memory of all processes of a daemon, and shared memory once", async () => {
  await supervisor.up(idOf(alice, "shared"));
  await supervisor.act("start", idOf(alice, "spread"));
  await until("the run with 72 MiB in three processes to end out of memory", async () => {
    return (await explained(idOf(alice, "spread"))).lastExit?.how === "out-of-memory";
  });
  await supervisor.act("stop", idOf(alice, "spread"));
  // The watch has sampled this daemon as often as the other.
  expect(await supervisor.status(idOf(alice, "shared"))).toMatchObject({ state: "running", respawns: 0 });
});

test("when an owner's memory budget is exceeded, one of the owner's daemons is killed and other owners' daemons go on", async () => {
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
  const explanation = await explained(idOf(carol, victim));
  expect(explanation.lastExit?.memory?.limit).toBe(96 * M);
  expect(explanation.budget).toEqual([
    { key: "memory", value: "96 MiB", source: expect.stringMatching(/policy\.conf:\d+$/) },
  ]);
  for (const name of names) await supervisor.act("stop", idOf(carol, name));
  expect(await supervisor.status(idOf(alice, "idle"))).toMatchObject({ state: "running", respawns: 0 });
});

test("a fork bomb stays within processes=, and a stop ends all of it", async () => {
  const id = idOf(carol, "bomb");
  await supervisor.act("start", id);
  await until("12 processes of the bomb", () => processesOf(carol.uid).length >= 12);
  for (let look = 0; look < 20; look += 1) {
    expect(processesOf(carol.uid).length).toBeLessThanOrEqual(12);
    await supervisor.status(id);
  }
  expect((await supervisor.status(id)).usage?.processes).toBeLessThanOrEqual(12);
  const { ok } = await supervisor.act("stop", id);
  expect([ok, processesOf(carol.uid)]).toEqual([true, []]);
});

test("a busy loop is throttled to cpu=, or its status says that cpu= is not enforced", async () => {
  const id = idOf(alice, "busy");
  await supervisor.up(id);
  // Beside other programs the loop may get less than its share for a while.
  const status = await until("0.3 s of processor time, and the throttling of more", async () => {
    const now = await supervisor.status(id);
    const isThrottled = !controllers.has("cpu") || (now.usage?.cpuThrottled ?? 0) > 0;
    return (now.usage?.cpu ?? 0) > 0.3 && isThrottled && now;
  });
  if (!controllers.has("cpu")) {
    expect(enforcedBy(status, "cpu")).toBe("nothing");
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

test("a run that follows by itself is held to the limits of the one before it", async () => {
  const id = idOf(alice, "idle");
  const { pid } = await supervisor.status(id);
  // Without a cgroup none follows.
  if (group(alice, "idle") === undefined) return;
  const runOf = (process: number): number =>
    Number(/idle\.d\/1-(\d+)$/m.exec(readFileSync(`/proc/${process}/cgroup`, "utf8"))?.[1] ?? 0);
  const settings = (run: number) =>
    ["pids.max", "memory.oom.group", "memory.max"].map((file) => {
      const path = join(group(alice, "idle") ?? "", `1-${run}`, file);
      return existsSync(path) ? readFileSync(path, "utf8") : undefined;
    });
  const [former, expected] = [runOf(pid), settings(runOf(pid))];
  if (controllers.has("processes")) expect(expected[0]).toBe("5\n");
  await sleep(200);
  supervisor.signal("SIGSTOP");
  try {
    kill(pid);
    const next = await until("the next run", () => processesOf(alice.uid).find((each) => runOf(each) > former));
    expect(settings(runOf(next))).toEqual(expected);
  } finally {
    supervisor.signal("SIGCONT");
  }
  await supervisor.reaches(id, "running", pid);
});

describe("a limit that changes while its daemon runs", () => {
  test("a limit that changes while its daemon runs is in force after the next rescan where the kernel can change it, and is pending otherwise", async () => {
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

  test("a limit that changes while its daemon runs ends the run if the run already exceeds it", async () => {
    const id = idOf(alice, "shared");
    const { pid } = await supervisor.up(id);
    alice.writeConf("shared", `start = ${sharing(24)}`, "memory = 12M", "autostart = no", ...ONE_RUN);
    await supervisor.rescan();
    await until("the run to end", async () => (await supervisor.status(id)).pid !== pid);
    expect((await explained(id)).lastExit).toMatchObject({ how: "out-of-memory", memory: { limit: 12 * M } });
    await supervisor.act("stop", id);
  });
});
