/** A logger that fails: status, explain and JSON show the reason. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { writeService } from "./daemontools/service-tree.ts";
import { linesIn } from "./log-directory.ts";
import { isRunning } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const TALK = "#!/bin/sh\nwhile echo line; do sleep 0.1; done\n";
const idOf = (name: string): string => `${alice.name}/${name}`;
const service = (name: string, logger: string): string =>
  writeService(join(alice.home, "service", name), { run: TALK, "log/run": `#!/bin/sh\n${logger}\n` }, alice);
const dmctl = async (...words: string[]): Promise<string> =>
  (await alice.run([toolbox.node, toolbox.dmctl, ...words])).stdout;
/** Waits until a daemon's log has this trouble; returns its text. */
const trouble = (name: string, words: string): Promise<string> =>
  until(`the log problem of ${name}`, async () => {
    const { logProblem } = await supervisor.status(idOf(name));
    return logProblem.includes(words) && logProblem;
  });
const untilRepaired = (name: string): Promise<unknown> =>
  until(`the log problem of ${name} to be over`, async () => (await supervisor.status(idOf(name))).logProblem === "");

test("a failing log/run is shown with its code and last error line in status, explain and JSON until it works", async () => {
  service("failing", "echo first >&2; printf 'no \\033[31msuch file\\n\\n' >&2; exit 3");
  await supervisor.rescan();
  await supervisor.reaches(idOf("failing"), "running");
  const why = "log/run ended at once with code 3: no ?[31msuch file";
  expect(await trouble("failing", "log/run")).toBe(why);
  expect(await dmctl("status", "--long")).toContain(`  its log: ${why}\n`);
  expect(await dmctl("failing", "explain")).toMatch(
    /\nlog problem +its log: log\/run ended at once with code 3: no \?/,
  );
  service("failing", "exec cat >>$HOME/written");
  await untilRepaired("failing");
  await until("lines in the log", () => readFileSync(`${alice.home}/written`, "utf8").includes("line\n"));
});

test("a failing log/run's last error line is shown up to 200 bytes", async () => {
  service("wordy", "head -c 300000 /dev/zero | tr '\\0' x >&2; exit 4");
  await supervisor.rescan();
  expect(await trouble("wordy", "code 4")).toBe(`log/run ended at once with code 4: ${"x".repeat(200)}`);
  await supervisor.act("stop", idOf("wordy"));
});

test("status shows the logger's error when the current file of a log is a directory", async () => {
  const directory = alice.makeDirectory(".daemon-manager/logs/blocked");
  alice.makeDirectory(".daemon-manager/logs/blocked/current");
  alice.writeConf("blocked", "start = while echo line; do sleep 0.1; done", "output = log");
  await supervisor.rescan();
  expect(await trouble("blocked", "s6-log")).toBe(
    `its logger ended at once with code 111: s6-log: fatal: unable to open_append ${directory}/current: Is a directory`,
  );
  rmSync(`${directory}/current`, { recursive: true });
  await untilRepaired("blocked");
  await until("lines in the log", () => linesIn(directory).length > 0);
});

test("a logger that writes errors and reads on outlives the supervisor and can still write errors", async () => {
  service("plaintive", "echo $$ >>$HOME/loggers; while read -r line; do echo $line >>$HOME/read; seq 200 >&2; done");
  await supervisor.rescan();
  await supervisor.reaches(idOf("plaintive"), "running");
  const count = (): number => readFileSync(`${alice.home}/read`, "utf8").split("\n").length;
  await until("lines in the log", () => existsSync(`${alice.home}/read`) && count() > 3);
  await supervisor.end("SIGKILL");
  // By then it has written more errors than a pipe holds.
  const then = count();
  await until("more lines", () => count() > then + 100);
  await supervisor.start();
  await until("still more lines", () => count() > then + 120);
  const [logger = "", ...others] = readFileSync(`${alice.home}/loggers`, "utf8").trim().split("\n");
  expect([isRunning(Number(logger)), others]).toEqual([true, []]);
  expect((await supervisor.status(idOf("plaintive"))).logProblem).toBe("");
});
