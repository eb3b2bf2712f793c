/** Daemons with ondemand=yes: they run only while clients use them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { askLine, lineServer } from "./line-server.ts";
import { isRunning, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const MANY = 50;
/** idle-timeout of `site`, in ms. */
const IDLE = 400;

let stage: Stage;
let alice: Account;
let bob: Account;
let page: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  [alice, bob] = [await stage.account("alice"), await stage.account("bob")];
  page = alice.write("page.php", "<?php usleep(1000 * ($_GET['ms'] ?? 0)); echo getmypid();");
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name, bob.name]);
  const php = ["start = exec php-cgi -q", "listen = fastcgi", "ondemand = yes"];
  alice.writeConf("site", ...php, `idle-timeout = ${IDLE / 1000}`);
  alice.writeConf("first", ...php, "idle-timeout = 1h");
  alice.writeConf("awake", ...php, "instances = 2", "idle-timeout = 1h");
  alice.writeConf("plain", lineServer(alice)("3"), "listen = http", "ondemand = yes", "idle-timeout = 0.2");
  alice.writeConf("broken", "start = exit 3", "listen = fastcgi", "ondemand = yes", "max-retries = 0");
  const start = lineServer(bob)("3");
  for (let site = 0; site < MANY; site += 1) {
    bob.writeConf(`site${site}`, start, "listen = http", "ondemand = yes", "idle-timeout = 1h");
  }
  await supervisor.start();
  await supervisor.reaches(idOf("site"), "asleep");
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string, owner = alice): string => `${supervisor.fastcgiDir}/${owner.name}/${name}.sock`;

test("a sleeping daemon has no process, and the first request wakes it and is served", async () => {
  expect(processesOf(alice.uid)).toEqual([]);
  expect(await supervisor.reaches(idOf("first"), "asleep")).toMatchObject({ desiredState: "up", pid: 0 });
  const pid = Number(await askForPage(socketOf("first"), page));
  expect(await supervisor.reaches(idOf("first"), "running")).toMatchObject({ pid, respawns: 0 });
});

test("an ondemand daemon stays awake during frequent or long requests, and goes to sleep without any", async () => {
  /** The pids that answer frequent requests and then a long one; undefined where this machine lets a pause be too long. */
  const visit = async (): Promise<string[] | undefined> => {
    let former = performance.now();
    const pids = [await askForPage(socketOf("site"), page)];
    for (const ms of [...Array<number>(8).fill(100), 3 * IDLE]) {
      const begun = performance.now();
      pids.push(await askForPage(socketOf("site"), page, `ms=${ms}`));
      // The former one was accepted after `former`, and this one at least `ms` before now.
      if (performance.now() - ms - former >= IDLE) return undefined;
      former = begun;
    }
    return pids;
  };
  const pids = await until("requests without a pause of idle-timeout", visit, 50);
  expect(new Set(pids).size).toBe(1);
  const [pid] = pids;
  await supervisor.reaches(idOf("site"), "asleep");
  expect(isRunning(Number(pid))).toBe(false);
  expect(await supervisor.status(idOf("site"))).toMatchObject({ respawns: 0, cooldown: 0 });
  expect(supervisor.log().some(({ daemon, event }) => daemon === idOf("site") && event === "idle")).toBe(true);
});

test("a client that connects while a daemon is going to sleep is served, even if its program does not catch TERM", async () => {
  for (const ask of [() => askForPage(socketOf("site"), page), () => askLine(socketOf("plain"))]) {
    for (let round = 0; round < 8; round += 1) {
      await ask();
      // Vary the pause around idle-timeout.
      await new Promise((resolve) => setTimeout(resolve, 200 + round * 50));
    }
  }
  const asleep = supervisor.log().filter(({ msg, event }) => msg === "asleep" && event === "gone");
  expect(asleep.length).toBeGreaterThan(1);
});

test("all instances of a daemon wake together, and a restart of a sleeping daemon does not wake it", async () => {
  await askForPage(socketOf("awake"), page);
  await until("two running instances", async () =>
    (await supervisor.status(idOf("awake"))).instances.every(({ state }) => state === "running"),
  );
  expect((await supervisor.status(idOf("awake"))).instances).toHaveLength(2);
  await supervisor.reaches(idOf("site"), "asleep");
  expect(await supervisor.act("restart", idOf("site"))).toMatchObject({ ok: true, daemon: { state: "asleep" } });
  expect(await supervisor.act("stop", idOf("site"))).toMatchObject({ ok: true, daemon: { state: "stopped" } });
  expect(await supervisor.act("start", idOf("site"))).toMatchObject({
    ok: true,
    daemon: { state: "asleep", desiredState: "up" },
  });
});

test("a sleeping daemon that fails to start becomes failed, and its waiting clients are disconnected", async () => {
  await expect(askForPage(socketOf("broken"), page)).rejects.toThrow();
  await supervisor.reaches(idOf("broken"), "failed");
});

test("fifty sleeping daemons have no process, and all wake at once when each gets a request", async () => {
  expect(processesOf(bob.uid)).toEqual([]);
  const sockets = Array.from({ length: MANY }, (_, site) => socketOf(`site${site}`, bob));
  const answers = await Promise.all(sockets.map((socket) => askLine(socket)));
  expect(new Set(answers.map(({ pid }) => pid)).size).toBe(MANY);
});

test("the next supervisor keeps daemons asleep or running, and wakes a sleeping one for a client", async () => {
  await supervisor.reaches(idOf("plain"), "asleep");
  const { pid } = await supervisor.status(idOf("awake"));
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect(await supervisor.status(idOf("plain"))).toMatchObject({ state: "asleep" });
  expect(await supervisor.status(idOf("awake"))).toMatchObject({ state: "running", pid });
  expect((await askLine(socketOf("plain"))).word).toBe("old");
});
