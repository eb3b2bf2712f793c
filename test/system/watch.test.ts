/** Watched conf directories: new files are loaded, changed ones marked, removed ones unloaded after the stop. */
import { spawn } from "node:child_process";
import { appendFileSync, chmodSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { environmentOf, ticksOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  alice.writeConf("steady", "start = exec sleep 1000");
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const ids = async (): Promise<string[]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons.map(({ id }) => id);
const pathOf = (name: string): string => join(alice.home, alice.conf(name));

test("a new conf file is loaded and its daemon started without a rescan", async () => {
  alice.writeConf("fresh", "start = exec sleep 1000");
  await until("the new daemon to be loaded", async () => (await ids()).includes(idOf("fresh")));
  await supervisor.reaches(idOf("fresh"), "running");
});

test("a conf file that is written in pieces is loaded only when it is complete", async () => {
  /** Writes a conf file in less time than the watch waits for further changes; returns the daemon's name. */
  const write = async (round = 1): Promise<string> => {
    const name = `pieces${round}`;
    const start = performance.now();
    alice.writeConf(name, "start = exec sleep 1");
    appendFileSync(pathOf(name), "# more to come\n");
    await sleep(100);
    alice.writeConf(name, "start = exec sleep 1000", "export WHOLE = yes");
    return performance.now() - start < 500 ? name : write(round + 1);
  };
  const name = await write();
  await until(name, async () => (await ids()).includes(idOf(name)));
  const { pid } = await supervisor.reaches(idOf(name), "running");
  expect(environmentOf(pid)["WHOLE"]).toBe("yes");
  expect(supervisor.starts(idOf(name))).toHaveLength(1);
});

test("a daemon whose conf file changes is marked and goes on as it was, and a restart puts the file in force", async () => {
  const { pid } = await supervisor.reaches(idOf("steady"), "running");
  alice.writeConf("steady", "start = exec sleep 1000", "export EDITION = second");
  await until(
    "the daemon to be marked as changed",
    async () => (await supervisor.status(idOf("steady"))).configChanged,
  );
  // A second edit within the same second undoes the first: the text counts, not the modification time.
  alice.writeConf("steady", "start = exec sleep 1000");
  await until(
    "the daemon not to be marked as changed",
    async () => !(await supervisor.status(idOf("steady"))).configChanged,
  );
  alice.writeConf("steady", "start = exec sleep 1000", "export EDITION = third");
  await until(
    "the daemon to be marked as changed again",
    async () => (await supervisor.status(idOf("steady"))).configChanged,
  );
  expect((await supervisor.status(idOf("steady"))).pid).toBe(pid);
  const { daemon } = await supervisor.act("restart", idOf("steady"));
  expect(daemon.configChanged).toBe(false);
  expect(environmentOf(daemon.pid)["EDITION"]).toBe("third");
});

test("the next supervisor keeps a daemon's mark as changed", async () => {
  alice.writeConf("steady", "start = exec sleep 1000", "export EDITION = fourth");
  await until(
    "the daemon to be marked as changed",
    async () => (await supervisor.status(idOf("steady"))).configChanged,
  );
  const { pid } = await supervisor.status(idOf("steady"));
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect(await supervisor.status(idOf("steady"))).toMatchObject({ pid, configChanged: true });
});

test("a half-written or broken conf file, and a restart with it, never end a running daemon", async () => {
  const { pid } = await supervisor.reaches(idOf("steady"), "running");
  truncateSync(pathOf("steady"), 3);
  await until(
    "a warning about the conf file",
    async () => (await supervisor.status(idOf("steady"))).warnings.length > 0,
  );
  const refused = await supervisor.act("restart", idOf("steady"));
  expect(refused.ok).toBe(false);
  expect(refused.reason).toContain(`${pathOf("steady")}:1: `);
  expect(await supervisor.status(idOf("steady"))).toMatchObject({ state: "running", pid, configChanged: true });
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(idOf("steady"), "running", pid);
  alice.writeConf("steady", "start = exec sleep 1000");
  await until("no warning", async () => (await supervisor.status(idOf("steady"))).warnings.length === 0);
});

test("a daemon whose conf file was renamed is unloaded once it is stopped, and the new name is another daemon", async () => {
  alice.writeConf("doomed", "start = exec sleep 1000");
  await until("doomed to be loaded", async () => (await ids()).includes(idOf("doomed")));
  const { pid } = await supervisor.reaches(idOf("doomed"), "running");
  renameSync(pathOf("doomed"), pathOf("renamed"));
  await until("renamed to be loaded", async () => (await ids()).includes(idOf("renamed")));
  expect(await supervisor.status(idOf("doomed"))).toMatchObject({ state: "running", pid });
  await supervisor.act("stop", idOf("doomed"));
  await until("doomed to be unloaded", async () => !(await ids()).includes(idOf("doomed")));
  await supervisor.act("stop", idOf("renamed"));
  rmSync(pathOf("renamed"));
  await until("renamed to be unloaded", async () => !(await ids()).includes(idOf("renamed")));
});

test("rescan reports a removed conf file once while its daemon still runs", async () => {
  const path = alice.writeConf("once", "start = exec sleep 1000");
  await supervisor.rescan();
  await supervisor.reaches(idOf("once"), "running");
  for (let round = 0; round < 2; round += 1) {
    rmSync(path);
    expect((await supervisor.rescan()).removed).toEqual([idOf("once")]);
    expect((await supervisor.rescan()).removed).toEqual([]);
    alice.writeConf("once", "start = exec sleep 1000");
    await supervisor.rescan();
  }
  rmSync(path);
  await supervisor.act("stop", idOf("once"));
});

test("a restart that is refused because of the home's mode does not mark an unchanged conf file", async () => {
  const { pid } = (await supervisor.act("restart", idOf("steady"))).daemon;
  chmodSync(alice.home, 0o770);
  const { ok, reason } = await supervisor.act("restart", idOf("steady"));
  const after = await supervisor.status(idOf("steady"));
  chmodSync(alice.home, 0o750);
  expect([ok, reason]).toEqual([false, expect.stringContaining("accounts other than")]);
  expect(after).toMatchObject({ pid, configChanged: false, warnings: [] });
  expect(await supervisor.rescan()).toMatchObject({ changed: [], problems: [] });
  expect(await supervisor.status(idOf("steady"))).toMatchObject({ state: "running", pid, configChanged: false });
});

test("a conf directory that is replaced is watched again", async () => {
  const directory = join(alice.home, ".daemon-manager/daemons");
  renameSync(directory, `${directory}.old`);
  alice.writeConf("elsewhere", "start = exec sleep 1000");
  await supervisor.rescan();
  await supervisor.reaches(idOf("elsewhere"), "running");
  alice.writeConf("later", "start = exec sleep 1000");
  await until("later to be loaded", async () => (await ids()).includes(idOf("later")));
});

test("a file that is written all the time in a conf directory does not delay the loading of another file", async () => {
  const noise = setInterval(
    () => writeFileSync(join(alice.home, ".daemon-manager/daemons/noise"), String(Math.random())),
    20,
  );
  try {
    alice.writeConf("patient", "start = exec sleep 1000");
    await until("patient to be loaded", async () => (await ids()).includes(idOf("patient")));
  } finally {
    clearInterval(noise);
  }
});

test("a tenant who renames conf files without end spends more CPU time on it than the supervisor, which goes on answering", async () => {
  alice.writeConf("shuttle1", "start = exec sleep 1000", "autostart = no");
  const flood =
    'chdir shift; for (;;) { rename "shuttle1.conf", "shuttle2.conf"; rename "shuttle2.conf", "shuttle1.conf" }';
  const directory = join(alice.home, ".daemon-manager/daemons");
  const [file = "", ...args] = [...alice.become, "perl", "-e", flood, directory];
  const flooder = spawn(file, args, { stdio: "ignore", cwd: "/" });
  try {
    const pid = flooder.pid ?? 0;
    const before = [ticksOf(supervisor.pid), ticksOf(pid)];
    for (const account of [alice, bob]) account.writeConf("meanwhile", "start = exec sleep 1000");
    // Poll seldom: answering costs the supervisor CPU time that the renames do not cause.
    const isThere = async (account: Account) => {
      await sleep(200);
      return (await ids()).includes(`${account.name}/meanwhile`);
    };
    await until("another owner's new daemon to be loaded", () => isThere(bob));
    await until("the new daemon to be loaded", () => isThere(alice));
    const busy = async () => {
      await sleep(200);
      expect((await supervisor.ask("GET", "/v1/health")).status).toBe(200);
      return ticksOf(pid) > (before[1] ?? 0) + 200;
    };
    await until("2 s of CPU time of the renames", busy, 40);
    const spent = [ticksOf(supervisor.pid) - (before[0] ?? 0), ticksOf(pid) - (before[1] ?? 0)];
    expect(spent[0]).toBeLessThan((spent[1] ?? 0) / 2);
  } finally {
    flooder.kill("SIGKILL");
  }
  alice.writeConf("afterwards", "start = exec sleep 1000");
  await until("a daemon that is added afterwards", async () => (await ids()).includes(idOf("afterwards")));
});
