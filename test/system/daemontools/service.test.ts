/** Files of a service directory (run, conf, down, finish, log/run), and service directories beside conf files. */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfFile, DaemonList, Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { argumentsOf, environmentOf, isRunning, processesOf } from "../proc.ts";
import { until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { writeService } from "./service-tree.ts";

const SLEEP = "#!/bin/sh\nexec sleep 1000\n";

let stage: Stage;
let alice: Account;
let worker: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  worker = await stage.account("worker");
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${worker.name}`], {
    flags: ["--tools-dir", "/nonexistent/tools"],
  });
  service("steady", { run: SLEEP });
  await supervisor.start();
});
afterAll(() => stage.remove());

const directoryOf = (name: string): string => join(alice.home, "service", name);
const service = (name: string, files: Record<string, string>): string => writeService(directoryOf(name), files, alice);
const idOf = (name: string): string => `${alice.name}/${name}`;
const list = async (): Promise<string[]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons.map(({ name }) => name);
const found = (name: string): Promise<true> => until(`${name} to be loaded`, async () => (await list()).includes(name));
const explain = async (name: string): Promise<Explanation> =>
  (await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf(name))}/explanation`)).body as Explanation;
const logOf = (name: string): string => {
  const path = join(alice.home, ".daemon-manager/logs", name, "current");
  return existsSync(path) ? readFileSync(path, "utf8").replace(/^@\S+ /gm, "") : "";
};
const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

test("a service directory with a run is a daemon of its name, and run is exec'd there without USER in the environment", async () => {
  const { pid, user, configFile, warnings } = await supervisor.reaches(idOf("steady"), "running");
  expect({ user, configFile, warnings }).toEqual({
    user: alice.name,
    configFile: join(directoryOf("steady"), "run"),
    warnings: [],
  });
  expect(argumentsOf(pid)).toEqual(["sleep", "1000"]);
  expect(environmentOf(pid)).toMatchObject({
    HOME: alice.home,
    LOGNAME: alice.name,
    SHELL: "/bin/sh",
    PATH: "/nonexistent/tools:/usr/local/bin:/usr/bin:/bin",
  });
  expect(environmentOf(pid)["USER"]).toBeUndefined();
});

test("a new service directory is loaded and started; $0 is ./run, and without log/run its output is in its log", async () => {
  service("fresh", { run: '#!/bin/sh\necho "$0 in $PWD"; echo error >&2; exec sleep 1000\n' });
  await found("fresh");
  const { logFile } = await supervisor.reaches(idOf("fresh"), "running");
  expect(logFile).toBe(join(alice.home, ".daemon-manager/logs/fresh/current"));
  await until("the daemon's lines in the log", () => logOf("fresh") === `./run in ${directoryOf("fresh")}\nerror\n`);
});

test("a service directory whose name begins with a dot, or without a run, is ignored", async () => {
  service(".hidden", { run: SLEEP });
  service("notes", { "read.me": "nothing\n" });
  const { found: ids, problems } = await supervisor.rescan();
  expect([ids, problems]).toEqual([[], []]);
});

test("a service directory with a down file is not started when it is loaded", async () => {
  service("resting", { run: SLEEP, down: "" });
  await found("resting");
  expect(await supervisor.status(idOf("resting"))).toMatchObject({ state: "stopped", pid: 0 });
  await supervisor.up(idOf("resting"));
});

test("a service directory's conf accepts keys except start, dir and shell, and errors name file and line", async () => {
  service("keyed", { run: SLEEP, conf: "# of a service\nstop-timeout = 3s\nexport COLOUR = blue\noutput = discard\n" });
  await found("keyed");
  const { pid, logFile } = await supervisor.reaches(idOf("keyed"), "running");
  expect(environmentOf(pid)["COLOUR"]).toBe("blue");
  expect(logFile).toBe("");
  const { settings } = await explain("keyed");
  expect(settings).toContainEqual({ key: "stop-timeout", value: "3s", isDefault: false });
  service("wrong", { run: SLEEP, conf: "stop-timeout = soon\nstart = sleep 1\n" });
  await found("wrong");
  const { state, reason, warnings } = await supervisor.status(idOf("wrong"));
  expect(state).toBe("invalid");
  const path = join(directoryOf("wrong"), "conf");
  expect([reason, ...warnings]).toEqual([
    expect.stringContaining(`${path}:1: stop-timeout: expected 0 or a duration`),
    `${path}:2: start: not permitted here: the run of the directory decides that`,
  ]);
});

test.each([
  ["run", "run", "#!/bin/sh\nexec sleep 1001\n"],
  ["conf", "conf", "stop-timeout = 4s\n"],
  ["env/USER", "env/USER", ""],
  ["down", "down", ""],
])("a change of %s marks a running daemon as changed, and a restart puts it in force", async (_, file, text) => {
  const { pid } = await supervisor.reaches(idOf("keyed"), "running");
  service("keyed", { [file]: text });
  await until("the daemon to be marked as changed", async () => (await supervisor.status(idOf("keyed"))).configChanged);
  const { ok, daemon } = await supervisor.act("restart", idOf("keyed"));
  expect({ ok, changed: daemon.configChanged }).toEqual({ ok: true, changed: false });
  expect(daemon.pid).not.toBe(pid);
});

test("a change at the end of a large run that keeps its size marks the daemon as changed", async () => {
  const large = (last: string): string => `#!/bin/sh\nexec sleep 1000\n${"# filler\n".repeat(10_000)}# ${last}\n`;
  service("large", { run: large("a") });
  await found("large");
  await supervisor.reaches(idOf("large"), "running");
  expect((await supervisor.status(idOf("large"))).configChanged).toBe(false);
  writeFileSync(join(directoryOf("large"), "run"), large("b"));
  await until("the daemon to be marked as changed", async () => (await supervisor.status(idOf("large"))).configChanged);
  await supervisor.act("stop", idOf("large"));
});

test("a daemon whose service directory is gone leaves the list when it is stopped", async () => {
  await supervisor.reaches(idOf("keyed"), "running");
  rmSync(directoryOf("keyed"), { recursive: true });
  await supervisor.rescan();
  await supervisor.act("stop", idOf("keyed"));
  await until("the daemon to leave the list", async () => !(await list()).includes("keyed"));
});

test("a conf file takes precedence over a service directory of the same name, and the directory is reported", async () => {
  service("twice", { run: SLEEP });
  const conf = alice.writeConf("twice", "start = exec sleep 2000");
  await found("twice");
  const { configFile } = await supervisor.reaches(idOf("twice"), "running");
  expect(configFile).toBe(conf);
  expect((await supervisor.rescan()).problems).toContain(
    `${directoryOf("twice")}/run: not loaded: ${conf} has the same name; rename one of them`,
  );
  rmSync(conf);
  rmSync(directoryOf("twice"), { recursive: true });
  await supervisor.act("stop", idOf("twice"));
});

test("a link to a directory of the same owner is a service directory", async () => {
  writeService(join(alice.home, "apps/linked"), { run: '#!/bin/sh\necho "at $(pwd -P)"; exec sleep 1000\n' }, alice);
  service("", { linked: `-> ${alice.home}/apps/linked` });
  await found("linked");
  await supervisor.reaches(idOf("linked"), "running");
  await until("the line of the daemon", () => logOf("linked") === `at ${alice.home}/apps/linked\n`);
  const { configChanged: changed } = await supervisor.status(idOf("linked"));
  expect(changed).toBe(false);
  writeFileSync(join(alice.home, "apps/linked/run"), "#!/bin/sh\nexec sleep 1002\n");
  await until(
    "the daemon to be marked as changed",
    async () => (await supervisor.status(idOf("linked"))).configChanged,
  );
});

test("finish gets the exit code and signal of each run, before the next run starts", async () => {
  const output = join(alice.home, "output");
  service("ending", {
    run: `#!/bin/sh\necho run >>${output}\n[ -e ${alice.home}/told ] && exec sleep 1000\n>${alice.home}/told\nexit 7\n`,
    finish: `#!/bin/sh\nsleep 0.3\necho "finish $* in $PWD as $(id -un)" >>${output}\n`,
  });
  await found("ending");
  const at = `in ${directoryOf("ending")} as ${alice.name}`;
  await until("the second run", () => textOf(output) === `run\nfinish 7 0 ${at}\nrun\n`);
  const { pid } = await supervisor.reaches(idOf("ending"), "running");
  process.kill(pid, "SIGUSR1");
  await until("the third run", () => textOf(output).endsWith(`finish 256 10 ${at}\nrun\n`));
  await supervisor.act("stop", idOf("ending"));
  expect(textOf(output).endsWith(`run\nfinish 256 15 ${at}\n`)).toBe(true);
});

test("a finish that exits with 125 makes the daemon failed", async () => {
  service("hopeless", { run: "#!/bin/sh\nexit 3\n", finish: "#!/bin/sh\nexit 125\n" });
  await found("hopeless");
  const { reason, respawns } = await supervisor.reaches(idOf("hopeless"), "failed");
  expect(reason).toBe("exited with code 3; its finish exited with 125: no further run");
  expect(respawns).toBe(0);
});

test("a finish that does not exit is killed after five seconds, with its children", async () => {
  service("endless", {
    run: "#!/bin/sh\nexec sleep 1000\n",
    finish: `#!/bin/sh\nsleep 2000 &\necho $! >${alice.home}/finishing\nwait\n`,
  });
  await found("endless");
  await supervisor.reaches(idOf("endless"), "running");
  const stopped = await supervisor.act("stop", idOf("endless"));
  expect(stopped.ok).toBe(true);
  expect(isRunning(Number(textOf(join(alice.home, "finishing"))))).toBe(false);
});

test("a finish that executes while the supervisor is killed ends by itself and once, and then the next run starts", async () => {
  const output = join(alice.home, "survived");
  service("surviving", {
    run: `#!/bin/sh\necho run >>${output}\n[ -e ${output}.again ] && exec sleep 1000\n>${output}.again\nexit 7\n`,
    finish: `#!/bin/sh\necho "finish $*" >>${output}\nuntil [ -e ${output}.go ]; do sleep 0.02; done\necho finished >>${output}\n`,
  });
  await found("surviving");
  await until("the finish", () => textOf(output) === "run\nfinish 7 0\n");
  // The second one finds what the first has adopted.
  for (let round = 0; round < 2; round += 1) {
    await supervisor.end("SIGKILL");
    await supervisor.start();
  }
  alice.write("survived.go", "");
  await supervisor.reaches(idOf("surviving"), "running");
  expect(textOf(output)).toBe("run\nfinish 7 0\nfinished\nrun\n");
  expect(supervisor.text()).not.toContain("cannot launch its finish");
});

test("a finish that ends while no supervisor runs is not repeated", async () => {
  const output = join(alice.home, "unseen");
  service("unseen", {
    run: `#!/bin/sh\necho run >>${output}\nexec sleep 1000\n`,
    finish: `#!/bin/sh\necho "finish $*" >>${output}\nuntil [ -e ${output}.go ]; do sleep 0.02; done\necho finished >>${output}\nexit 125\n`,
  });
  await found("unseen");
  const { pid } = await supervisor.reaches(idOf("unseen"), "running");
  process.kill(pid, "SIGKILL");
  await until("the finish", () => textOf(output) === "run\nfinish 256 9\n");
  await supervisor.end("SIGKILL");
  alice.write("unseen.go", "");
  await until("the end of the finish", () => textOf(output).endsWith("finished\n"));
  await supervisor.start();
  const { reason } = await supervisor.reaches(idOf("unseen"), "failed");
  expect(reason).toContain("killed by SIGKILL; its finish exited with 125");
  expect(textOf(output)).toBe("run\nfinish 256 9\nfinished\n");
});

test("a log/run keeps running while its daemon is restarted or the supervisor is replaced, and dmctl log refers to it", async () => {
  const kept = join(alice.home, "kept");
  service("logged", {
    run: "#!/bin/sh\necho started\nexec sleep 1000\n",
    "log/run": `#!/bin/sh\necho "begun in $PWD" >>${kept}\nexec cat >>${kept}\n`,
  });
  await found("logged");
  const { pid, logFile } = await supervisor.reaches(idOf("logged"), "running");
  expect(logFile).toBe("");
  const firstLine = `begun in ${directoryOf("logged")}/log\n`;
  await until("the line of the daemon", () => textOf(kept) === `${firstLine}started\n`);
  const answer = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("logged"))}/log`);
  expect(answer.body).toMatchObject({
    code: "not-applicable",
    message: `${directoryOf("logged")}/log/run writes the log of "${idOf("logged")}"; look where that program writes it`,
  });
  process.kill(pid, "SIGKILL");
  await until("the line of the next run", () => textOf(kept) === `${firstLine}started\nstarted\n`);
  await supervisor.end("SIGKILL");
  await supervisor.start();
  await supervisor.act("restart", idOf("logged"));
  await until("a line at the same logger", () => textOf(kept) === `${firstLine}${"started\n".repeat(3)}`);
});

test("a log/run that died while no supervisor ran is started again, and the children that it left are killed", async () => {
  const notes = join(alice.home, "loggers");
  service("widowed", {
    run: "#!/bin/sh\nwhile :; do date; sleep 0.1; done\n",
    "log/run": `#!/bin/sh\nsetsid sleep 3001 >/dev/null &\necho $$ $! >>${notes}\nexec cat >/dev/null\n`,
  });
  await found("widowed");
  const { pid } = await supervisor.reaches(idOf("widowed"), "running");
  const [logger = 0, child = 0] = (await until("the logger", () => textOf(notes) !== "" && textOf(notes)))
    .split(/\s/)
    .map(Number);
  await supervisor.end("SIGKILL");
  process.kill(logger, "SIGKILL");
  await supervisor.start();
  await until("a new logger", () => textOf(notes).trim().split("\n").length === 2);
  await until("exit of the first logger's child", () => !isRunning(child));
  expect(await supervisor.status(idOf("widowed"))).toMatchObject({ state: "running", pid });
});

test("a stop also ends children that a log/run has detached", async () => {
  service("clinging", {
    run: SLEEP,
    "log/run": `#!/bin/sh\nsetsid sleep 3000 >/dev/null &\necho $! >${alice.home}/clinging\nexec cat >/dev/null\n`,
  });
  await found("clinging");
  await supervisor.reaches(idOf("clinging"), "running");
  const child = await until("the logger's child", () => Number(textOf(join(alice.home, "clinging"))));
  await until("the logger", () => processesOf(alice.uid).includes(child));
  await supervisor.act("stop", idOf("clinging"));
  await until("exit of the logger's child", () => !isRunning(child));
  await supervisor.up(idOf("clinging"));
  await until("a new child", () => Number(textOf(join(alice.home, "clinging"))) !== child);
});

test("the API's file resource of a service directory is run, which stays executable when it is written", async () => {
  const path = `/v1/daemons/${encodeURIComponent(idOf("steady"))}/file`;
  const { body } = await supervisor.ask("GET", path);
  expect(body).toMatchObject({ path: join(directoryOf("steady"), "run"), text: SLEEP });
  const { fingerprint } = body as ConfFile;
  const { status } = await supervisor.ask("PUT", path, { text: "#!/bin/sh\nexec sleep 4000\n", fingerprint });
  expect(status).toBe(200);
  const { daemon } = await supervisor.act("restart", idOf("steady"));
  expect(argumentsOf(daemon.pid)).toEqual(["sleep", "4000"]);
});

test("a service directory that is replaced while its daemon runs marks the daemon as changed", async () => {
  const { pid } = await supervisor.reaches(idOf("steady"), "running");
  renameSync(directoryOf("steady"), join(alice.home, "steady.old"));
  service("steady", { run: "#!/bin/sh\nexec sleep 5000\n" });
  await until(
    "the daemon to be marked as changed",
    async () => (await supervisor.status(idOf("steady"))).configChanged,
  );
  expect((await supervisor.status(idOf("steady"))).pid).toBe(pid);
});
