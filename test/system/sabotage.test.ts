/** Tenants and admins who kill, stop or remove parts of a daemon: the daemon recovers and others are unaffected. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { linesIn, loggerOf } from "./log-directory.ts";
import { argumentsOf, isRunning, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let page: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = new Stage();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php echo getmypid();");
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  alice.writeConf("site", "start = exec php-cgi -q", "listen = fastcgi", "max-retries = 0", "healthy-after = 0");
  alice.writeConf("talker", "start = while :; do echo talk; sleep 0.1; done", "output = log");
  alice.writeConf("silent", "start = exec sleep 1000", "output = log", "autostart = no");
  await supervisor.start();
  for (const name of ["site", "talker"]) await supervisor.reaches(idOf(name), "running");
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socket = (): string => `${supervisor.fastcgiDir}/${alice.name}/site.sock`;

test("a published socket whose file was removed is published again at the next run", async () => {
  const { pid } = await supervisor.reaches(idOf("site"), "running");
  rmSync(socket());
  process.kill(pid, "SIGKILL");
  const { pid: next } = await supervisor.reaches(idOf("site"), "running", pid);
  expect(await askForPage(socket(), page)).toBe(String(next));
});

test("the API answers 409 for a log that does not exist yet", async () => {
  const { status, body } = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("silent"))}/log`);
  expect([status, (body as { message: string }).message]).toEqual([
    409,
    `the log of "${idOf("silent")}" cannot be read: the daemon has not written any output yet`,
  ]);
});

test("a second supervisor with the directories of a running one exits with 100 and names that one's pid", async () => {
  const second = new Supervisor(`${stage.directory}/main`);
  const child = second.spawn();
  const code = await new Promise((resolve) => child.once("exit", resolve));
  expect(code).toBe(100);
  expect(second.text()).toContain(`another supervisor (pid ${supervisor.pid}) uses this directory`);
  expect((await supervisor.status(idOf("talker"))).state).toBe("running");
});

test("output of a daemon whose former logger is held by SIGSTOP is logged once that logger is gone", async () => {
  alice.writeConf("brief", "start = echo a line; echo done >> $HOME/brief; exec sleep 1000", "output = log");
  await supervisor.rescan();
  const directory = `${alice.home}/.daemon-manager/logs/brief`;
  const logged = () => existsSync(`${directory}/current`) && linesIn(directory).length;
  await until("the first line in the log", () => logged() === 1);
  process.kill(loggerOf(alice.uid, directory) ?? 0, "SIGSTOP");
  await supervisor.act("stop", idOf("brief"));
  await supervisor.act("start", idOf("brief"));
  await until("the second line to be written", () => readFileSync(`${alice.home}/brief`, "latin1") === "done\ndone\n");
  await supervisor.act("stop", idOf("brief"));
  await until("the second line in the log", () => logged() === 2);
});

test("loggers that are held by SIGSTOP do not delay the supervisor's exit and do not outlive it", async () => {
  alice.writeConf("dropped", "start = exec sleep 1000", "output = log");
  await supervisor.rescan();
  await supervisor.reaches(idOf("dropped"), "running");
  const loggers = processesOf(alice.uid).filter((pid) => argumentsOf(pid)[0]?.endsWith("s6-log"));
  expect(loggers).toHaveLength(2);
  for (const pid of loggers) process.kill(pid, "SIGSTOP");
  rmSync(join(alice.home, alice.conf("dropped")));
  await supervisor.rescan();
  await supervisor.act("stop", idOf("dropped"));
  await until("dropped to be unloaded", async () => {
    return (await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("dropped"))}`)).status === 404;
  });
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(loggers.filter(isRunning)).toEqual([]);
});
