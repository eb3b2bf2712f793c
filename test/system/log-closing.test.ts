/** Logs that are closed while the supervisor receives SIGCHLD all the time. */
import { spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { loggerOf } from "./log-directory.ts";
import { isRunning } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const NAMES = ["a", "b", "c", "d", "e"];
const ROUNDS = 8;
/** Perl: bursts of SIGCHLD with pauses in which the supervisor can work. */
const STORM = 'while (1) { for (1 .. 2000) { kill "CHLD", $ARGV[0] or exit } select undef, undef, undef, 0.001 }';

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  for (const name of NAMES) {
    alice.writeConf(name, "start = while echo line; do sleep 0.1; done", "output = log", "autostart = no");
  }
  await supervisor.start();
});
afterAll(() => stage.remove());

const hasLogger = (name: string): boolean =>
  loggerOf(alice.uid, `${alice.home}/.daemon-manager/logs/${name}`) !== undefined;

test("a supervisor that receives SIGCHLD while it closes logs ends every logger and goes on", async () => {
  const { pid } = supervisor;
  const ids = NAMES.map((name) => `${alice.name}/${name}`);
  for (let round = 0; round < ROUNDS; round += 1) {
    await Promise.all(ids.map((id) => supervisor.up(id)));
    const storm = spawn("perl", ["-e", STORM, `${pid}`], { stdio: "ignore" });
    try {
      await Promise.all(ids.map((id) => supervisor.act("stop", id)));
      await until("every logger to exit", () => !NAMES.some(hasLogger));
    } finally {
      storm.kill("SIGKILL");
    }
    expect(isRunning(pid), supervisor.text().slice(-2000)).toBe(true);
  }
});
