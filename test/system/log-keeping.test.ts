/** Loggers in trouble, and what is in a log directory that no logger makes. */
import { existsSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, loggerOf } from "./log-directory.ts";
import { argumentsOf, isRunning } from "./proc.ts";
import { succeed, until } from "./program.ts";
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
  for (const name of ["odd", "stuck", "told"])
    alice.writeConf(name, "start = echo begun; exec sleep 1000", "output = log");
  await supervisor.start();
  for (const name of ["odd", "stuck", "told"]) {
    await supervisor.reaches(idOf(name), "running");
    await until(`the line of ${name}`, () => existsSync(current(name)) && linesIn(directoryOf(name)).length === 1);
  }
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const current = (name: string): string => `${directoryOf(name)}/current`;
const shown = async () => alice.run([toolbox.node, toolbox.dmctl, "odd", "log", "--raw"]);

test("a FIFO or a link in the place of the current file is not waited for, nor followed", async () => {
  renameSync(current("odd"), `${directoryOf("odd")}/kept`);
  await succeed(...alice.become, "mkfifo", current("odd"));
  const fifo = await shown();
  expect([fifo.code, fifo.stdout, fifo.stderr]).toEqual([1, "", expect.stringContaining("is no regular file")]);
  rmSync(current("odd"));
  symlinkSync("kept", current("odd"));
  const link = await shown();
  expect([link.code, link.stdout, link.stderr]).toEqual([1, "", expect.stringContaining("ELOOP")]);
});

test("a logger that its owner has stopped does not keep the daemon from stopping, and is killed", async () => {
  const logger = await until("the logger", () => loggerOf(alice.uid, directoryOf("stuck")));
  process.kill(logger, "SIGSTOP");
  expect((await supervisor.act("stop", idOf("stuck"))).ok).toBe(true);
  await until("the end of the logger", () => !isRunning(logger));
});

test("keys that have changed while there was no supervisor are those of the logger of the next", async () => {
  const former = await until("the logger", () => loggerOf(alice.uid, directoryOf("told")));
  const { pid } = await supervisor.status(idOf("told"));
  await supervisor.end("SIGKILL");
  alice.writeConf("told", "start = echo begun; exec sleep 1000", "output = log", "log-files = 999");
  await supervisor.start();
  const next = await until("another logger", () => {
    const logger = loggerOf(alice.uid, directoryOf("told"));
    return logger !== undefined && logger !== former && logger;
  });
  expect(argumentsOf(next)).toContain("n999");
  expect([isRunning(former), (await supervisor.status(idOf("told"))).pid]).toEqual([false, pid]);
});

test("log-compress=yes where s6-log could run no compressor is refused, with what to install", async () => {
  const hide = `set -e; mkdir "$0"; mount -t tmpfs dmhost-test "$0"; mkdir "$0/upper" "$0/work"
    mount -t overlay dmhost-test -o "lowerdir=/usr/bin,upperdir=$0/upper,workdir=$0/work" /usr/bin; rm /usr/bin/execlineb
    [ ! -d /usr/lib/execline/bin ] || mount -t tmpfs dmhost-test /usr/lib/execline/bin; exec "$@"`;
  const through = ["unshare", "--mount", "sh", "-c", hide, `${stage.directory}/hidden`];
  const poor = stage.supervisor("poor", ["[runs_as]", alice.name], { through });
  await supervisor.end("SIGTERM");
  alice.writeConf("pressed", "start = exec sleep 1000", "output = log", "log-compress = yes", "max-retries = 0");
  alice.writeConf("told", "start = exec sleep 1000", "output = log");
  await poor.start();
  const { reason } = await poor.reaches(idOf("pressed"), "failed");
  expect(reason).toMatch(/log-compress=yes needs the program execlineb; root can install the package execline/);
  await poor.reaches(idOf("told"), "running");
  alice.writeConf("told", "start = exec sleep 1000", "output = log", "log-compress = yes", "max-retries = 0");
  const { ok, reason: why } = await poor.act("restart", idOf("told"));
  expect([ok, why]).toEqual([false, expect.stringContaining("needs the program execlineb")]);
});
