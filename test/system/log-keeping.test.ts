/** Loggers that are stopped or replaced, and unexpected files in a log directory. */
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
  for (const name of ["odd", "stuck", "plain"])
    alice.writeConf(name, "start = echo begun; exec sleep 1000", "output = log");
  await supervisor.start();
  for (const name of ["odd", "stuck", "plain"]) {
    await supervisor.reaches(idOf(name), "running");
    await until(
      `the first line of ${name}`,
      () => existsSync(current(name)) && linesIn(directoryOf(name)).length === 1,
    );
  }
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const current = (name: string): string => `${directoryOf(name)}/current`;
const shown = async () => alice.run([toolbox.node, toolbox.dmctl, "odd", "log", "--raw"]);

test("dmctl log fails at once when the current file is a FIFO or a link", async () => {
  renameSync(current("odd"), `${directoryOf("odd")}/kept`);
  await succeed(...alice.become, "mkfifo", current("odd"));
  const fifo = await shown();
  expect([fifo.code, fifo.stdout, fifo.stderr]).toEqual([1, "", expect.stringContaining("is no regular file")]);
  rmSync(current("odd"));
  symlinkSync("kept", current("odd"));
  const link = await shown();
  expect([link.code, link.stdout, link.stderr]).toEqual([1, "", expect.stringContaining("ELOOP")]);
});

test("a logger that its owner stopped by SIGSTOP does not delay the daemon's stop, and is killed", async () => {
  const logger = await until("the logger", () => loggerOf(alice.uid, directoryOf("stuck")));
  process.kill(logger, "SIGSTOP");
  expect((await supervisor.act("stop", idOf("stuck"))).ok).toBe(true);
  await until("exit of the logger", () => !isRunning(logger));
});

test("log keys that changed while no supervisor ran are in force under the next supervisor", async () => {
  const former = await until("the logger", () => loggerOf(alice.uid, directoryOf("plain")));
  const { pid } = await supervisor.status(idOf("plain"));
  await supervisor.end("SIGKILL");
  alice.writeConf("plain", "start = echo begun; exec sleep 1000", "output = log", "log-files = 999");
  await supervisor.start();
  const next = await until("a new logger", () => {
    const logger = loggerOf(alice.uid, directoryOf("plain"));
    return logger !== undefined && logger !== former && logger;
  });
  expect(argumentsOf(next)).toContain("n999");
  expect([isRunning(former), (await supervisor.status(idOf("plain"))).pid]).toEqual([false, pid]);
});

test("a start with log-compress=yes fails where execlineb is missing, and the reason names the package", async () => {
  const hide = `set -e; mkdir "$0"; mount -t tmpfs dmhost-test "$0"; mkdir "$0/upper" "$0/work"
    mount -t overlay dmhost-test -o "lowerdir=/usr/bin,upperdir=$0/upper,workdir=$0/work" /usr/bin; rm /usr/bin/execlineb
    [ ! -d /usr/lib/execline/bin ] || mount -t tmpfs dmhost-test /usr/lib/execline/bin; exec "$@"`;
  const through = ["unshare", "--mount", "sh", "-c", hide, `${stage.directory}/hidden`];
  const poor = stage.supervisor("poor", ["[runs_as]", alice.name], { through });
  await supervisor.end("SIGTERM");
  alice.writeConf("pressed", "start = exec sleep 1000", "output = log", "log-compress = yes", "max-retries = 0");
  alice.writeConf("plain", "start = exec sleep 1000", "output = log");
  await poor.start();
  const { reason } = await poor.reaches(idOf("pressed"), "failed");
  expect(reason).toMatch(/log-compress=yes needs the program execlineb; root can install the package execline/);
  await poor.reaches(idOf("plain"), "running");
  alice.writeConf("plain", "start = exec sleep 1000", "output = log", "log-compress = yes", "max-retries = 0");
  const { ok, reason: why } = await poor.act("restart", idOf("plain"));
  expect([ok, why]).toEqual([false, expect.stringContaining("needs the program execlineb")]);
});
