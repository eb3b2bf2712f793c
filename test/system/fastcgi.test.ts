/** A real php-cgi behind a held socket: which accounts can connect, and that every request is answered. */
import { lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { isRunning } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let web: number;
let alice: Account;
let bob: Account;
let worker: Account;
let page: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  web = await stage.group("web");
  [alice, bob, worker] = [await stage.account("alice"), await stage.account("bob"), await stage.account("www", "web")];
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name, bob.name]);
  page = alice.write(
    "www/page.php",
    "<?php if (isset($_GET['slow'])) usleep(300000); echo getmypid(), ' ', get_current_user();",
  );
  // It exits by itself after 500 requests otherwise, also while it is the candidate of a restart.
  alice.writeConf(
    "site",
    "start = exec php-cgi -q",
    "listen = fastcgi",
    "dir = ~/www",
    "export PHP_FCGI_MAX_REQUESTS = 1000000",
  );
  alice.writeConf("brief", "start = exec php-cgi -q", "listen = fastcgi", "export PHP_FCGI_MAX_REQUESTS = 5");
  alice.writeConf("mute", "start = exec sleep 1000", "listen = fastcgi", "autostart = no");
  await supervisor.start();
  await supervisor.reaches(idOf("site"), "running");
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const modeOf = (path: string): string => {
  const { uid, gid, mode } = lstatSync(path);
  return `${uid}:${gid === web ? "web" : gid} ${(mode & 0o7777).toString(8)}`;
};

test("a published socket and its directories are accessible to root and the web server's group only", async () => {
  const socket = socketOf("site");
  expect((await supervisor.status(idOf("site"))).socket).toBe(socket);
  expect(statSync(socket).isSocket()).toBe(true);
  expect(modeOf(socket)).toBe("0:web 660");
  expect(modeOf(dirname(socket))).toBe("0:web 710");
  expect(modeOf(supervisor.fastcgiDir)).toBe("0:web 711");
});

test("a member of the web server's group gets a page from the tenant's php-cgi", async () => {
  const { stdout, code } = await worker.run([toolbox.node, toolbox.visitor, socketOf("site"), page]);
  const { pid } = await supervisor.status(idOf("site"));
  expect([code, stdout]).toEqual([0, `${pid} ${alice.name}`]);
});

test("neither its owner nor another tenant can connect to a published socket, list its directory or remove it", async () => {
  for (const tenant of [alice, bob]) {
    const visit = await tenant.run([toolbox.node, toolbox.visitor, socketOf("site"), page]);
    expect([visit.code, visit.stdout]).toEqual([1, "EACCES"]);
    expect((await tenant.run(["rm", "-f", socketOf("site")])).code).not.toBe(0);
    expect((await tenant.run(["ls", supervisor.fastcgiDir])).code).not.toBe(0);
  }
  expect((await worker.run(["rm", "-f", socketOf("site")])).code).not.toBe(0);
});

test("after kill -9 the next request waits in the held socket and is answered", async () => {
  for (let round = 0; round < 10; round += 1) {
    const { pid } = await supervisor.reaches(idOf("site"), "running");
    await askForPage(socketOf("site"), page);
    process.kill(pid, "SIGKILL");
    // A killed process loses the connections that it has accepted; the web server repeats those requests.
    await until("exit of the process", () => !isRunning(pid));
    const answered = await Promise.all([1, 2, 3].map(() => askForPage(socketOf("site"), page)));
    for (const text of answered) expect(text).not.toBe(`${pid} ${alice.name}`);
  }
  const status = await supervisor.status(idOf("site"));
  expect(status.respawns).toBe(10);
});

test("a php-cgi that exits after PHP_FCGI_MAX_REQUESTS is restarted at once, and every request is answered", async () => {
  await supervisor.reaches(idOf("brief"), "running");
  const pids = new Set<string>();
  for (let request = 0; request < 50; request += 1) pids.add(await askForPage(socketOf("brief"), page));
  expect(pids.size).toBe(10);
  const entries = supervisor.log().filter(({ daemon, event }) => daemon === idOf("brief") && event === "exited");
  expect(new Set(entries.map(({ reason }) => reason))).toEqual(new Set(["exited with code 0"]));
});

test("a run that accepted a connection does not count as failed, even if it is killed soon after", async () => {
  const before = supervisor.starts(idOf("site")).length;
  for (let round = 0; round < 5; round += 1) {
    const pid = Number((await askForPage(socketOf("site"), page)).split(" ")[0]);
    process.kill(pid, "SIGKILL");
    await until("exit of the process", () => !isRunning(pid));
  }
  await askForPage(socketOf("site"), page);
  const times = supervisor.starts(idOf("site")).slice(before - 1);
  expect(times.length).toBeGreaterThanOrEqual(6);
  // A daemon that crashes is started at most ten times a second.
  expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual((times.length - 1) * 90);
});

test("requests during a restart are answered", async () => {
  let going = true;
  const polling = (async () => {
    let answered = 0;
    for (; going; answered += 1) await askForPage(socketOf("site"), page);
    return answered;
  })();
  for (let round = 0; round < 3; round += 1)
    expect(await supervisor.act("restart", idOf("site"))).toMatchObject({ ok: true });
  going = false;
  expect(await polling).toBeGreaterThan(0);
});

test("a stopped daemon's socket is held until its conf file is removed", async () => {
  await supervisor.up(idOf("mute"));
  await supervisor.act("stop", idOf("mute"));
  expect(lstatSync(socketOf("mute")).isSocket()).toBe(true);
  await alice.run(["rm", `${alice.home}/${alice.conf("mute")}`]);
  expect((await supervisor.rescan()).removed).toEqual([idOf("mute")]);
  expect(lstatSync(socketOf("mute"), { throwIfNoEntry: false })).toBeUndefined();
});
