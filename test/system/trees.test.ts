/** A stop ends every process of a daemon, and two runs of a daemon never overlap. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { writeService } from "./daemontools/service-tree.ts";
import { argumentsOf, environmentOf, isRunning, processesOf } from "./proc.ts";
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
  alice.writeConf("waiting", ...WAITING);
  await supervisor.start();
});
afterAll(() => stage.remove());

/** Exits after TERM once the file `go` exists. */
const WAITING = [
  "dir = ~/",
  "start = trap 'until [ -e go ]; do sleep 0.02; done; exit' TERM; while :; do sleep 0.02; done",
  "autostart = no",
];

const idOf = (name: string): string => `${alice.name}/${name}`;

test.each([
  ["pool", 5],
  ["deaf", 2],
  ["away", 2],
  ["forked", 3],
  ["unexecuted", 2],
])("stop leaves no process of the daemon %s", async (name, processes) => {
  const daemons = (): number[] => processesOf(alice.uid);
  expect(daemons()).toEqual([]);
  await supervisor.up(idOf(name));
  await until(`${processes} processes`, () => daemons().length >= processes);
  const { ok, daemon } = await supervisor.act("stop", idOf(name));
  expect([ok, daemon.state, daemon.pid]).toEqual([true, "stopped", 0]);
  expect(daemons()).toEqual([]);
});

test("stop ends a process whose first thread has ended, also if it is a child", async () => {
  const source = alice.write(
    "headless.c",
    `#include <pthread.h>
#include <unistd.h>
static void *stay(void *unused) { for (;;) sleep(1000); }
int main(void) { pthread_t thread; pthread_create(&thread, 0, stay, 0); pthread_exit(0); }`,
  );
  expect((await alice.run(["gcc", "-o", `${alice.home}/headless`, source, "-lpthread"])).code).toBe(0);
  const quick = ["autostart = no", "stop-timeout = 0.5s"];
  alice.writeConf("headless", "start = exec ~/headless", ...quick);
  alice.writeConf(
    "headed",
    "start = trap '' TERM; ~/headless & echo $! >~/child; while :; do sleep 1000; done",
    ...quick,
  );
  await supervisor.rescan();
  for (const name of ["headless", "headed"]) {
    const { pid } = await supervisor.up(idOf(name));
    const one = (): number => (name === "headless" ? pid : Number(readFileSync(`${alice.home}/child`, "utf8")));
    await until("exit of the first thread", () => /^State:\s*Z/m.test(readFileSync(`/proc/${one()}/status`, "utf8")));
    const headless = one();
    expect((await supervisor.status(idOf(name))).state).toBe("running");
    expect(await supervisor.act("stop", idOf(name))).toMatchObject({ ok: true, daemon: { state: "stopped" } });
    await until("exit of the process", () => !existsSync(`/proc/${headless}`));
  }
});

test("processes that a failed run leaves are ended before the next run starts", async () => {
  await supervisor.act("start", idOf("gone"));
  await until("three runs", () => supervisor.starts(idOf("gone")).length >= 3);
  const left = processesOf(alice.uid).filter((pid) => argumentsOf(pid)[1] === "1001");
  expect(left.length).toBeLessThanOrEqual(1);
  await supervisor.act("stop", idOf("gone"));
  expect(processesOf(alice.uid)).toEqual([]);
});

test("a restart never runs two processes at once, and starts a new one", async () => {
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

test("several requests while a run is stopping end in the desired state of the last one", async () => {
  const id = idOf("waiting");
  const { pid } = await supervisor.up(id);
  const requestCount = (): number =>
    supervisor.log().filter(({ daemon, event }) => daemon === id && isRequest(event)).length;
  const before = requestCount();
  const outcomes: Promise<unknown>[] = [];
  for (const [index, verb] of (["restart", "start", "stop"] as const).entries()) {
    outcomes.push(supervisor.act(verb, id).then(({ ok, reason }) => ({ ok, reason: reason.replace(id, "ID") })));
    // No request is answered before the file exists, so all three wait together.
    await until(`request ${index + 1} in the log`, () => requestCount() === before + index + 1);
  }
  expect(isRunning(pid)).toBe(true);
  alice.write("go", "");
  expect(await Promise.all(outcomes)).toEqual([
    { ok: false, reason: 'cannot restart "ID": a stop was requested meanwhile' },
    { ok: false, reason: 'cannot start "ID": a stop was requested meanwhile' },
    { ok: true, reason: "" },
  ]);
  expect(await supervisor.status(id)).toMatchObject({ state: "stopped", desiredState: "down", pid: 0 });
  expect(isRunning(pid)).toBe(false);
  await alice.run(["rm", `${alice.home}/go`]);
  expect(processesOf(alice.uid)).toEqual([]);
});
const isRequest = (event: string | undefined): boolean => event === "start" || event === "stop" || event === "restart";

test("a start during a stop uses the conf file as it is then, and is refused if the file is", async () => {
  const id = idOf("waiting");
  const { pid } = await supervisor.up(id);
  const end = async (...lines: string[]): Promise<Outcome> => {
    const stopped = supervisor.act("stop", id);
    await supervisor.reaches(id, "stopping");
    alice.writeConf("waiting", ...WAITING, ...lines);
    const started = supervisor.act("start", id);
    await until("the start to be registered or refused", async () => {
      const { desiredState: want } = await supervisor.status(id);
      return want === "up" || (await Promise.race([started, undefined])) !== undefined;
    });
    alice.write("go", "");
    await stopped;
    const outcome = await started;
    await alice.run(["rm", `${alice.home}/go`]);
    return outcome;
  };
  const { ok, daemon } = await end("export EDITION = second");
  expect([ok, daemon.configChanged, daemon.pid === pid]).toEqual([true, false, false]);
  expect(environmentOf(daemon.pid)["EDITION"]).toBe("second");
  const refused = await end("user = root");
  expect(refused).toMatchObject({ ok: false, reason: expect.stringContaining('it may not run as "root"') });
  await supervisor.reaches(id, "stopped");
  const wrong = await (async () => {
    alice.writeConf("waiting", ...WAITING);
    await supervisor.up(id);
    return end("listen = everywhere");
  })();
  expect(wrong).toMatchObject({ ok: false, reason: expect.stringContaining("waiting.conf:") });
  await supervisor.act("stop", id);
  expect(processesOf(alice.uid)).toEqual([]);
});

test("a start with a corrected file while the last run is ending succeeds", async () => {
  const id = idOf("site");
  // The run is ending until its finish ends.
  const finish = "#!/bin/sh\nuntil [ -e finished ]; do sleep 0.02; done\n";
  const conf = "listen = fastcgi\nautostart = no\nmax-retries = 0\n";
  writeService(`${alice.home}/service/site`, { run: "#!/bin/sh\nexec sleep 1000\n", finish, conf }, alice);
  await supervisor.rescan();
  const { pid } = await supervisor.up(id);
  process.kill(pid, "SIGKILL");
  const count = (wanted: string): number =>
    supervisor.log().filter(({ daemon, event }) => daemon === id && event === wanted).length;
  await until("the exit in the log", () => count("exited") === 1);
  alice.write("service/site/conf", `${conf}export EDITION = corrected\n`);
  const started = supervisor.act("start", id);
  await until("the request in the log", () => count("start") === 2);
  alice.write("service/site/finished", "");
  const { ok, reason, daemon } = await started;
  expect([ok, reason]).toEqual([true, ""]);
  expect(environmentOf(daemon.pid)["EDITION"]).toBe("corrected");
  expect(supervisor.starts(id)).toHaveLength(2);
  await supervisor.act("stop", id);
});

test("a supervisor that exits on SIGTERM removes its cgroup", async () => {
  const places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map((mount) => join(mount, supervisor.cgroup));
  expect(places.some((path) => existsSync(path))).toBe(true);
  await supervisor.up(idOf("pool"));
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(places.some((path) => existsSync(path))).toBe(false);
});
