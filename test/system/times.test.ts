/** Times in the status, compared with measured bounds of the test's clock, independent of the machine's speed. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DaemonStatus } from "@dmhost/contract";
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
  alice.writeConf("web", "start = exec sleep 1000", "healthy-after = 0", "autostart = no");
  await supervisor.start();
});
afterAll(() => stage.remove());

/** Time span of an action, in seconds of this process's clock. */
interface Span {
  readonly start: number;
  readonly end: number;
}
const clock = (): number => performance.now() / 1000;
/** The status rounds to tenths of a second. */
const ROUNDING = 0.1;
const during = async <T>(work: () => Promise<T>): Promise<[Span, T]> => {
  const start = clock();
  const result = await work();
  return [{ start, end: clock() }, result];
};
const expectSince = (seconds: number, event: Span, request: Span): void => {
  expect(seconds).toBeGreaterThanOrEqual(request.start - event.end - ROUNDING);
  expect(seconds).toBeLessThanOrEqual(request.end - event.start + ROUNDING);
};

test("status shows uptime since the last respawn and total since the last start, and 0 for a stopped daemon", async () => {
  const id = `${alice.name}/web`;
  const status = (): Promise<[Span, DaemonStatus]> => during(() => supervisor.status(id));
  const [started, { pid }] = await during(() => supervisor.up(id));
  await sleep(1500);
  const [first, early] = await status();
  expectSince(early.uptime, started, first);
  expectSince(early.total, started, first);

  const [respawned] = await during(() => {
    process.kill(pid, "SIGKILL");
    return supervisor.reaches(id, "running", pid);
  });
  await sleep(300);
  const [second, late] = await status();
  expect(late.respawns).toBe(1);
  expectSince(late.uptime, respawned, second);
  expectSince(late.total, started, second);
  expect(late.instances[0]?.uptime).toBe(late.uptime);

  const [restarted] = await during(() => supervisor.act("restart", id));
  const [third, restartedStatus] = await status();
  expectSince(restartedStatus.uptime, restarted, third);
  expectSince(restartedStatus.total, restarted, third);
  expect(restartedStatus.respawns).toBe(0);

  await supervisor.act("stop", id);
  expect((await status())[1]).toMatchObject({ uptime: 0, total: 0, cooldown: 0 });
});
