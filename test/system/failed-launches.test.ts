/** Starts that fail in the launch. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  alice.writeConf("lost", "dir = /nonexistent", "start = exec sleep 1000", "max-retries = 1");
  alice.writeConf("typo", "start = exec no-such-program", "max-retries = 0", "autostart = no");
  alice.writeConf("shellless", "shell = /bin/no-such-shell", "start = exit 0", "max-retries = 0", "autostart = no");
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;

test("a start that fails in the launch says what failed, on what and why", async () => {
  const lost = await supervisor.reaches(idOf("lost"), "failed");
  expect(lost.reason).toMatch(/^entering \/nonexistent: no such directory/);
  const started = await supervisor.act("start", idOf("lost"));
  expect(started.ok).toBe(false);
  expect(started.reason).toMatch(/^cannot start ".*\/lost": entering \/nonexistent: no such directory/);
  expect((await supervisor.act("start", idOf("typo"))).reason).toMatch(
    /: exited with code 127 \(the shell cannot find/,
  );
  expect((await supervisor.act("start", idOf("shellless"))).reason).toMatch(
    /: running \/bin\/no-such-shell: no such program/,
  );
});
