/** Logs are written by a real s6-log as the owner, and read by the owner and managers, never with root's rights. */
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { Follower } from "./follower.ts";
import { argumentsOf, descriptorsOf, environmentOf, isRunning, numbersOf, processesOf, statusOf } from "./proc.ts";
import { type Ended, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

const SECRET = "the-secret-of-root";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let mallory: Account;
let helper: Account;
let worker: Account;
/** Only root may write to it. */
let roots: string;
/** Only root may enter it. */
let vault: string;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  [alice, mallory, helper, worker] = [
    await stage.account("alice"),
    await stage.account("mallory"),
    await stage.account("helper"),
    await stage.account("worker"),
  ];
  const rules = [`${alice.name}: ${worker.name}`, mallory.name, "[manages]", `${helper.name}: ${alice.name}`];
  supervisor = stage.supervisor("main", ["[runs_as]", ...rules]);
  vault = `${stage.directory}/vault`;
  mkdirSync(vault, { mode: 0o700 });
  writeFileSync(`${vault}/current`, `${SECRET}\n`);
  alice.writeConf(
    "talker",
    `user = ${worker.name}`,
    "start = echo ready; echo error >&2; exec sleep 1000",
    "output = log",
  );
  alice.writeConf("counter", "start = i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done", "output = log");
  alice.writeConf("flood", "start = echo ready; trap 'seq 60000' USR1; while :; do sleep 0.1; done", "output = log");
  alice.writeConf("again", "start = echo reopened >/dev/stderr; exec sleep 1000", "output = log");
  alice.writeConf("quiet", "start = exec sleep 1000");
  mallory.makeDirectory(".daemon-manager");
  roots = `${stage.directory}/roots`;
  mkdirSync(roots, { mode: 0o755 });
  symlinkSync(roots, `${mallory.home}/.daemon-manager/logs`);
  mallory.writeConf("linked", "start = echo hostile; exec sleep 1000", "output = log", "max-retries = 0");
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const logDirectory = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const current = (name: string): string => {
  const path = `${logDirectory(name)}/current`;
  // A new logger has no current file for a moment.
  return existsSync(path) ? readFileSync(path, "utf8") : "";
};
const logger = (name: string): Promise<number> =>
  until(`the logger of ${name}`, () =>
    processesOf(alice.uid).find((pid) => {
      const [program, ...rest] = argumentsOf(pid);
      return program?.endsWith("s6-log") && rest.at(-1) === logDirectory(name);
    }),
  );
const dmctl = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words]);

test("a log is written with TAI64N stamps by an s6-log that runs as the owner, not as the run-as account", async () => {
  await until("two lines", () => current("talker").split("\n").length === 3);
  const lines = current("talker").trim().split("\n");
  expect(lines.map((line) => line.slice(26))).toEqual(["ready", "error"]);
  for (const line of lines) expect(line).toMatch(/^@[0-9a-f]{24} /);
  const directory = lstatSync(logDirectory("talker"));
  expect([directory.uid, directory.mode & 0o777]).toEqual([alice.uid, 0o700]);
  const file = lstatSync(`${logDirectory("talker")}/current`);
  expect([file.uid, file.mode & 0o077]).toEqual([alice.uid, 0]);

  const pid = await logger("talker");
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(alice.uid));
  expect(numbersOf(pid, "Gid")).toEqual(Array(4).fill(alice.gid));
  expect(numbersOf(pid, "Groups")).toEqual([alice.gid]);
  expect([statusOf(pid).get("CapEff"), statusOf(pid).get("NoNewPrivs")]).toEqual(["0".repeat(16), "1"]);
  expect(Object.keys(environmentOf(pid)).filter((name) => !["PATH", "PWD"].includes(name))).toEqual([]);
  const fifo = [...descriptorsOf(pid)].filter(([, what]) => what.endsWith(".fifo"));
  expect(fifo.map(([fd]) => fd)).toEqual([0]);
});

test("a daemon can reopen /dev/stderr although it cannot enter the directory of its FIFO", async () => {
  await until("the daemon's line in the log", () => current("again").includes("reopened"));
  expect((await alice.run(["ls", `${supervisor.runDir}/logs`])).code).not.toBe(0);
});

test("dmctl log shows a log to its owner and to a manager who cannot read the home, and to no other account", async () => {
  expect((await helper.run(["cat", `${logDirectory("talker")}/current`])).code).not.toBe(0);
  for (const account of [alice, helper]) {
    const { code, stdout } = await dmctl(account, "talker", "log");
    expect(code).toBe(0);
    expect(stdout.replaceAll(/^\S+ \S+ /gm, "")).toBe("ready\nerror\n");
    const raw = await dmctl(account, "log", "--raw", "-n", "1", idOf("talker"));
    expect(raw.stdout).toBe(current("talker").split("\n").slice(1).join("\n"));
  }
  const foreign = await dmctl(mallory, idOf("talker"), "log");
  expect([foreign.code, foreign.stdout]).toEqual([3, ""]);
  const none = await dmctl(alice, "quiet", "log");
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("has no log; write output=log in ")]);
});

test("dmctl tail follows a log across rotations without losing a line", async () => {
  await supervisor.reaches(idOf("flood"), "running");
  const argv = [...helper.become, toolbox.node, toolbox.dmctl, "tail", "--raw", idOf("flood")];
  const follower = new Follower(argv, helper.environment);
  try {
    await follower.says("ready\n");
    expect((await dmctl(helper, "kill", "-USR1", idOf("flood"))).code).toBe(0);
    await follower.says(" 60000\n");
    expect(readdirSync(logDirectory("flood")).filter((name) => /^@.*\.s$/.test(name)).length).toBeGreaterThan(0);
    const numbers = follower.text
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => Number(line.slice(26)));
    expect(numbers).toEqual(Array.from({ length: 60_000 }, (_, index) => index + 1));
  } finally {
    expect(await follower.interrupt()).toBe(0);
  }
});

test("a logger that is killed is started again, and its daemon goes on", async () => {
  const { pid } = await supervisor.reaches(idOf("counter"), "running");
  const former = await logger("counter");
  await until("some lines", () => current("counter").split("\n").length > 10);
  const count = (): number => Number(current("counter").trim().split("\n").at(-1)?.slice(26));
  process.kill(former, "SIGKILL");
  await until("exit of the logger", () => !isRunning(former));
  const before = count();
  expect(await logger("counter")).not.toBe(former);
  await until("more lines", () => count() > before + 10);
  expect((await supervisor.status(idOf("counter"))).pid).toBe(pid);
});

test("a log directory that is a link neither writes nor shows files outside the owner's reach", async () => {
  const id = `${mallory.name}/linked`;
  const status = await supervisor.reaches(id, "failed");
  expect(status.reason).toMatch(/opening its log: EACCES/);
  expect(readdirSync(roots)).toEqual([]);
  const logs = `${mallory.home}/.daemon-manager/logs`;
  await mallory.run(["sh", "-c", `rm ${logs} && mkdir -p ${logs} && ln -s ${vault} ${logs}/linked`]);
  await supervisor.act("start", id);
  const shown = await dmctl(mallory, "linked", "log");
  expect([shown.code === 0, shown.stdout]).toEqual([false, ""]);
  await mallory.run([
    "sh",
    "-c",
    `rm ${logs}/linked && mkdir ${logs}/linked && ln -s ${vault}/current ${logs}/linked/current`,
  ]);
  const again = await dmctl(mallory, "linked", "log");
  expect([again.code === 0, again.stdout]).toEqual([false, ""]);
  expect(shown.stderr + again.stderr).not.toContain(SECRET);
  expect(readdirSync(vault)).toEqual(["current"]);
  expect(readFileSync(`${vault}/current`, "utf8")).toBe(`${SECRET}\n`);
});
