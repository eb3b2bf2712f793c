/**
 * Limits in the appliance: `./dmhost up --docker` on a machine with cgroup v2, where the supervisor's container has a
 * subtree of the machine's groups to write to and no privilege besides (docs/reference/limits.md). The machine is
 * thrown away with all that is made here (test/vm/machine/run).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus, Explanation } from "@dmhost/contract";
import { beforeAll, expect, test } from "vitest";
import { Appliance, command, type Ended, eventually, PROJECT, succeed } from "../appliance/appliance.ts";
import { HostAccount } from "../appliance/host-account.ts";
import { BUSY, bomb, hog } from "../system/runaways.ts";

const M = 1024 ** 2;
const NAMES = ["dmvm-alice", "dmvm-carol"] as const;

let appliance: Appliance;
let alice: HostAccount;
let carol: HostAccount;

const write = (account: HostAccount, name: string, ...lines: string[]): Promise<void> =>
  account.write(`.daemon-manager/daemons/${name}.conf`, `${lines.join("\n")}\n`);
const IDLE = "start = exec sleep 600";

beforeAll(async () => {
  [alice, carol] = [await HostAccount.make(NAMES[0]), await HostAccount.make(NAMES[1])];
  await write(alice, "idle", IDLE, "memory = 64M", "memory-high = 48M", "processes = 5", "cpu = 0.5");
  await write(alice, "slow", `start = ${hog(4, 0.05, 400)}`, "memory = 48M", "autostart = no");
  await write(alice, "instant", `start = ${hog(400, 0, 400)}`, "memory = 48M", "autostart = no", "max-retries = 0");
  await write(alice, "busy", `start = ${BUSY}`, "cpu = 0.2", "autostart = no");
  await write(carol, "bomb", `start = ${bomb(60, 0.05)}`, "processes = 12", "autostart = no");
  await write(carol, "one", `start = ${hog(48, 0, 48)}`, "autostart = no");
  await write(carol, "two", `start = ${hog(64, 0, 64)}`, "autostart = no");
  await succeed(process.env, "systemctl", "start", "docker");
  appliance = await Appliance.prepare();
  await appliance.writePolicy(
    `[settings]\nnginx-group = dmhost-nginx\n[runs_as]\ndmhost-demo\n${NAMES.join("\n")}\n[limits]\n${carol.name}: memory = 96M\n`,
  );
  await appliance.dmhost("up");
});

/** Calls this machine's dmctl as root. */
const dmctl = (...words: string[]): Promise<Ended> =>
  command(
    { ...appliance.environment, DMCTL_SOCKET: join(appliance.directory, "run/command.sock") },
    join(appliance.directory, "bin/dmctl"),
    ...words,
  );
const told = async <T>(...words: string[]): Promise<T> => {
  const { code, stdout, stderr } = await dmctl(...words, "--json");
  if (code !== 0) throw new Error(`dmctl ${words.join(" ")}: exit code ${code}\n${stdout}${stderr}`);
  return JSON.parse(stdout) as T;
};
const idOf = (account: HostAccount, name: string): string => `${account.name}/${name}`;
const status = async (id: string): Promise<DaemonStatus> => {
  const { daemons } = await told<{ daemons: DaemonStatus[] }>("status", id);
  const [daemon] = daemons;
  if (!daemon) throw new Error(`no status of ${id}`);
  return daemon;
};
const explained = (id: string): Promise<Explanation> => told<Explanation>("explain", id);
const endOf = (id: string) =>
  eventually(`an end of ${id}`, async () => {
    const { lastExit } = await explained(id);
    return lastExit?.how === "out-of-memory" ? lastExit : undefined;
  });

/** Path of a daemon's cgroup on this machine. */
const group = (account: HostAccount, name: string): string =>
  join("/sys/fs/cgroup", PROJECT, "dmhost-run-dmhost", account.name, `${name}.d`);
const fileOf = (account: HostAccount, name: string, file: string): string =>
  readFileSync(join(group(account, name), file), "utf8").trim();

test("the kernel enforces every limit in the supervisor's unprivileged container", async () => {
  const id = idOf(alice, "idle");
  await eventually(`${id} running`, async () => ((await status(id)).state === "running" ? true : undefined));
  const { limits, warnings } = await status(id);
  expect(limits.enforcedBy).toBe("cgroup");
  expect(limits.keys.map(({ key, value, enforcedBy }) => `${key}=${value} ${enforcedBy}`)).toEqual([
    "memory=64 MiB cgroup",
    "memory-high=48 MiB cgroup",
    "processes=5 cgroup",
    "cpu=0.5 cgroup",
  ]);
  expect(warnings).toEqual([]);
  expect(fileOf(alice, "idle", "memory.max")).toBe(String(64 * M));
  expect(fileOf(alice, "idle", "memory.swap.max")).toBe("0");
  expect(fileOf(alice, "idle", "memory.high")).toBe(String(48 * M));
  expect(fileOf(alice, "idle", "cpu.max")).toBe("50000 100000");
  const { HostConfig } = await appliance.inspect("supervisor");
  expect([HostConfig.Privileged, HostConfig.CapAdd?.some((name) => name.endsWith("SYS_ADMIN"))]).toEqual([
    false,
    false,
  ]);
});

test("slow and instant memory hogs are killed out of memory, with limit and peak", async () => {
  for (const name of ["slow", "instant"]) {
    await dmctl("start", idOf(alice, name));
    const exit = await endOf(idOf(alice, name));
    expect(exit.text).toMatch(/^out of memory: used \d+(\.\d+)? MiB of 48 MiB$/);
    expect(exit.memory?.limit).toBe(48 * M);
    expect(exit.memory?.peak).toBeGreaterThan(40 * M);
    expect(exit.memory?.peak).toBeLessThan(50 * M);
    await dmctl("stop", idOf(alice, name));
  }
});

test("an owner's daemons together stay within the budget, and daemons of other owners keep running", async () => {
  for (const name of ["one", "two"]) await dmctl("start", idOf(carol, name));
  const victim = await eventually("an exit out of memory", async () => {
    for (const name of ["one", "two"]) {
      const { lastExit } = await explained(idOf(carol, name));
      if (lastExit?.how === "out-of-memory") return lastExit;
    }
    return undefined;
  });
  expect(victim.memory?.limit).toBe(96 * M);
  for (const name of ["one", "two"]) await dmctl("stop", idOf(carol, name));
  expect(await status(idOf(alice, "idle"))).toMatchObject({ state: "running", respawns: 0 });
});

test("a fork bomb stays within its limit of processes, and a stop ends all of them", async () => {
  const id = idOf(carol, "bomb");
  await dmctl("start", id);
  await eventually("a bomb that has all it gets", async () =>
    (await status(id)).usage?.processes === 12 ? true : undefined,
  );
  expect(await dmctl("stop", id)).toMatchObject({ code: 0 });
  expect(await status(id)).toMatchObject({ pid: 0, usage: null });
  expect(existsSync(group(carol, "bomb"))).toBe(false);
});

test("a busy loop is throttled to its share of a processor", async () => {
  const id = idOf(alice, "busy");
  await dmctl("start", id);
  // Beside other programs the loop may get less than its share for a while.
  await eventually("some processor time, and the throttling of more", async () => {
    const { usage } = await status(id);
    return (usage?.cpu ?? 0) > 0.5 && (usage?.cpuThrottled ?? 0) > 0 ? true : undefined;
  });
  await dmctl("stop", id);
});

test("a rescan applies changed limits to a running daemon", async () => {
  const id = idOf(alice, "idle");
  const before = await status(id);
  await write(alice, "idle", IDLE, "memory = 32M", "processes = 7", "cpu = 0.25");
  await dmctl("rescan");
  const after = await status(id);
  expect([after.pid, after.configChanged, after.limits.keys.filter(({ pending }) => pending)]).toEqual([
    before.pid,
    false,
    [],
  ]);
  expect(fileOf(alice, "idle", "memory.max")).toBe(String(32 * M));
  expect(fileOf(alice, "idle", "memory.high")).toBe("max");
  expect(fileOf(alice, "idle", "cpu.max")).toBe("25000 100000");
});

test("the demo site still answers after all these limits", async () => {
  expect((await appliance.request("/")).status).toBe(200);
});
