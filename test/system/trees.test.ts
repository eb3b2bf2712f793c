/** Stopping reaches everything that a daemon started, and two runs of it never live together. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, isRunning, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  const quick = ["autostart = no", "stop-timeout = 1s"];
  alice.writeConf("pool", "start = exec php-cgi -q", "listen = fastcgi", "export PHP_FCGI_CHILDREN = 4", ...quick);
  alice.writeConf("deaf", "start = trap '' TERM; while :; do sleep 1000; done", ...quick);
  alice.writeConf("away", "start = setsid sleep 1001 & exec sleep 1000", ...quick);
  alice.writeConf("forked", "start = (setsid sh -c 'sleep 1001 & sleep 1002 & exit' &) ; exec sleep 1000", ...quick);
  alice.writeConf("gone", "start = (setsid sh -c 'trap \"\" TERM; sleep 1001' &) ; sleep 0.2; exit 1", ...quick);
  alice.writeConf("unexecuted", "start = sleep 1000; sleep 1001", ...quick);
  alice.writeConf(
    "jealous",
    "dir = ~/",
    "start = trap 'sleep 0.2; echo end >>record; exit' TERM; echo begin >>record; sleep 1000 & wait",
    ...quick,
  );
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;

test.each([
  ["pool", 5],
  ["deaf", 2],
  ["away", 2],
  ["forked", 3],
  ["unexecuted", 2],
])("stop leaves nothing of %s", async (name, processes) => {
  // The FastCGI daemon's next launch may stand by, waiting, as the account.
  const daemons = (): number[] => processesOf(alice.uid).filter((pid) => !argumentsOf(pid).includes("dmhost-launch"));
  expect(daemons()).toEqual([]);
  await supervisor.up(idOf(name));
  await until(`${processes} processes`, () => daemons().length >= processes);
  const { ok, daemon } = await supervisor.act("stop", idOf(name));
  expect([ok, daemon.state, daemon.pid]).toEqual([true, "stopped", 0]);
  expect(daemons()).toEqual([]);
});

test("what a run leaves behind does not meet the next one", async () => {
  await supervisor.act("start", idOf("gone"));
  await until("three runs", () => supervisor.starts(idOf("gone")).length >= 3);
  const left = processesOf(alice.uid).filter((pid) => argumentsOf(pid)[1] === "1001");
  expect(left.length).toBeLessThanOrEqual(1);
  await supervisor.act("stop", idOf("gone"));
  expect(processesOf(alice.uid)).toEqual([]);
});

test("a restart never overlaps, and gives another process", async () => {
  let { pid } = await supervisor.up(idOf("jealous"));
  for (let round = 0; round < 5; round += 1) {
    const { ok, daemon } = await supervisor.act("restart", idOf("jealous"));
    expect(ok).toBe(true);
    expect(isRunning(pid)).toBe(false);
    expect(daemon.pid).not.toBe(pid);
    pid = daemon.pid;
  }
  await supervisor.act("stop", idOf("jealous"));
  const record = readFileSync(`${alice.home}/record`, "utf8").trim().split("\n");
  expect(record).toEqual(Array.from({ length: 6 }, () => ["begin", "end"]).flat());
});

test("requests that contradict each other end in what was asked last", async () => {
  await supervisor.up(idOf("jealous"));
  const [first, second] = await Promise.all([
    supervisor.act("stop", idOf("jealous")),
    supervisor.act("start", idOf("jealous")),
  ]);
  expect([first.ok, second.ok]).toContain(true);
  const { state, want } = await supervisor.status(idOf("jealous"));
  expect([state, want]).toEqual(want === "up" ? ["running", "up"] : ["stopped", "down"]);
  await supervisor.act("stop", idOf("jealous"));
  expect(processesOf(alice.uid)).toEqual([]);
});

test("a supervisor that ends takes its cgroup away", async () => {
  const places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map((mount) => join(mount, supervisor.cgroup));
  expect(places.some((path) => existsSync(path))).toBe(true);
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(places.some((path) => existsSync(path))).toBe(false);
});
