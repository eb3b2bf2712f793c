/** Budgets of [limits] for daemons, logs and restarts; and strict-limits. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let ann: Account;
let ben: Account;
let main: Supervisor;
let strict: Supervisor;

const LIMITS = (daemons: number): string[] => [
  "[runs_as]",
  ann.name,
  ben.name,
  "[limits]",
  "*: restarts = 5",
  `${ann.name}: daemons = ${daemons}, log = 64K`,
];

beforeAll(async () => {
  stage = await Stage.make();
  ann = await stage.account("ann");
  ben = await stage.account("ben");
  for (const name of ["a", "b", "c"]) ann.writeConf(name, "start = exec sleep 600", "output = log");
  ben.writeConf("crash", "start = exit 1", "healthy-after = 0");
  ben.writeConf("other", "start = exec sleep 600");
  main = stage.supervisor("main", LIMITS(2));
  await main.start();
});
afterAll(() => stage.remove());

const of = (account: Account, name: string): string => `${account.name}/${name}`;
const statesOf = async (...names: string[]): Promise<string[]> =>
  Promise.all(names.map(async (name) => (await main.status(of(ann, name))).state));

test("a daemon beyond its owner's budget of daemons is forbidden, and the reason names the policy line", async () => {
  expect(await statesOf("a", "b", "c")).toEqual([
    expect.stringMatching(/^(starting|running)$/),
    expect.stringMatching(/^(starting|running)$/),
    "forbidden",
  ]);
  const reason = new RegExp(
    `^${ann.name} may have 2 daemons, and this one exceeds that; root sets the limit in \\[limits\\], line \\d+$`,
  );
  expect((await main.status(of(ann, "c"))).reason).toMatch(reason);
  const started = await main.act("start", of(ann, "c"));
  expect(started).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/^cannot start ".*\/c": .* may have 2 daemons/),
  });
  expect(started.advice).toMatch(
    /^Remove the conf file of a daemon that is not needed, or ask root to raise the limit in \[limits\]/,
  );
});

test("an owner's log budget is divided among the owner's loggers", () => {
  const loggers = processesOf(ann.uid)
    .map(argumentsOf)
    .filter(([name]) => name?.endsWith("s6-log"));
  expect(loggers.length).toBeGreaterThan(0);
  for (const words of loggers) {
    const [, size] = /^s(\d+)$/.exec(words.find((word) => /^s\d+$/.test(word)) ?? "") ?? [];
    const [, files] = /^n(\d+)$/.exec(words.find((word) => /^n\d+$/.test(word)) ?? "") ?? [];
    expect(Number(size) * (Number(files) + 1)).toBeLessThanOrEqual(64 * 1024);
  }
});

test("a daemon whose owner has no restart left in this minute is throttled, and other daemons can be restarted", async () => {
  const id = of(ben, "crash");
  const status = await until("the daemon to be throttled", async () => {
    const now = await main.status(id);
    return now.state === "coolingdown" && now.cooldown > 10 && now;
  });
  expect(status.reason).toBe("exited with code 1; its owner's restarts of this minute are used up ([limits])");
  expect(status.respawns).toBe(5);
  expect(main.starts(id).length).toBe(6);
  const before = await main.status(of(ben, "other"));
  await main.act("restart", of(ben, "other"));
  expect((await main.status(of(ben, "other"))).pid).not.toBe(before.pid);
  // A manual start does not count as a restart: it runs at once.
  await main.act("start", id);
  expect(main.starts(id).length).toBe(7);
  await main.act("stop", id);
});

test("strict-limits forbids a daemon whose limits no cgroup can enforce, and no other daemon", async () => {
  await main.end("SIGTERM");
  ben.writeConf("held", "start = exec sleep 600", "memory = 64M");
  strict = stage.supervisor("strict", ["strict-limits = yes", "[runs_as]", ben.name]);
  await strict.start();
  const { state, reason, limits } = await strict.status(of(ben, "held"));
  if (state === "forbidden") {
    expect(reason).toMatch(/^no cgroup can enforce memory=64 MiB here, and strict-limits=yes: .+/);
    expect((await strict.act("start", of(ben, "held"))).ok).toBe(false);
  } else expect(limits.enforcedBy).toBe("cgroup");
  await strict.reaches(of(ben, "other"), "running");
});
