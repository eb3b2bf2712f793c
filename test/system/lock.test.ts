/** lock=: one daemon holds it, the others wait and show that; and exit code 100, after which a daemon is not restarted. */
import { lstatSync } from "node:fs";
import type { Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, descriptorsOf, isRunning } from "./proc.ts";
import { run, succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const write = async (name: string, ...lines: string[]): Promise<void> => {
  const start = lines.some((line) => line.startsWith("start")) ? [] : ["start = exec sleep 1000"];
  alice.writeConf(name, "autostart = no", "stop-timeout = 5s", ...start, ...lines);
  await supervisor.rescan();
};
const words = (file: string): string => `waits for the lock ${alice.home}/${file}`;
/** Starts a daemon that has to wait for the lock. */
const queue = async (name: string, file: string): Promise<void> => {
  const { ok, reason, advice, daemon } = await supervisor.act("start", idOf(name));
  expect([ok, reason, daemon.state]).toEqual([false, `cannot start "${idOf(name)}": ${words(file)}`, "starting"]);
  expect(advice).toBe("It starts when it gets the resource it waits for; a stop cancels that.");
};
const isFree = async (file: string): Promise<boolean> =>
  (await run(["flock", "--nonblock", `${alice.home}/${file}`, "true"])).code === 0;

test("a daemon whose lock is held stays starting, shows the lock as its reason, and runs when the holder is gone", async () => {
  for (const name of ["one", "two"]) await write(name, "lock = ~/common", "healthy-after = 100ms");
  const { pid } = await supervisor.up(idOf("one"));
  await queue("two", "common");
  const two = await supervisor.status(idOf("two"));
  expect(two).toMatchObject({ state: "starting", reason: words("common"), respawns: 0 });
  const { body } = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("two"))}/explanation`);
  const explained = body as Explanation;
  expect(explained).toMatchObject({ failures: 0, lastExit: null, daemon: { reason: words("common") } });
  expect(explained.settings).toContainEqual({ key: "lock", value: "~/common", isDefault: false });
  // Longer than a start takes to settle, and longer than healthy-after.
  await until("a wait of 0.5 s", () => supervisor.status(idOf("two")).then(({ uptime }) => uptime > 0.5));
  expect((await supervisor.status(idOf("two"))).state).toBe("starting");
  expect(isRunning(pid)).toBe(true);
  await supervisor.act("stop", idOf("one"));
  const now = await supervisor.reaches(idOf("two"), "running");
  expect(now).toMatchObject({ pid: two.pid, reason: "", respawns: 0 });
  expect(supervisor.starts(idOf("two"))).toHaveLength(1);
  await supervisor.act("stop", idOf("two"));
  expect(await isFree("common")).toBe(true);
});

test("a lock is held by the daemon's process on a file of mode 0600, and is free when the process ends", async () => {
  await write("holder", "lock = ~/own", "umask = 000");
  const { pid } = await supervisor.up(idOf("holder"));
  await until("the daemon to exec its program", () => argumentsOf(pid)[0]?.endsWith("sleep"));
  expect([...descriptorsOf(pid)].slice(3)).toEqual([[9, `${alice.home}/own`]]);
  const { uid, mode } = lstatSync(`${alice.home}/own`);
  expect([uid, mode & 0o777]).toEqual([alice.uid, 0o600]);
  expect(await isFree("own")).toBe(false);
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(idOf("holder"), "running", pid);
  expect(await isFree("own")).toBe(false);
  await supervisor.act("stop", idOf("holder"));
  expect(await isFree("own")).toBe(true);
});

test("a daemon that waits for a lock can be stopped and started again", async () => {
  for (const name of ["first", "second"]) await write(name, "lock = ~/stopped");
  await supervisor.up(idOf("first"));
  await queue("second", "stopped");
  const { pid } = await supervisor.status(idOf("second"));
  expect(await supervisor.act("stop", idOf("second"))).toMatchObject({
    ok: true,
    daemon: { state: "stopped", reason: "" },
  });
  expect(isRunning(pid)).toBe(false);
  await queue("second", "stopped");
  await supervisor.act("stop", idOf("second"));
  await supervisor.act("stop", idOf("first"));
});

test("a run that fails after a long wait for its lock counts as failed", async () => {
  await write("before", "lock = ~/wait");
  await write("after", "lock = ~/wait", "healthy-after = 400ms", "max-retries = 0", "start = exit 3");
  await supervisor.up(idOf("before"));
  await queue("after", "wait");
  await until("a wait of 0.8 s", () => supervisor.status(idOf("after")).then(({ uptime }) => uptime > 0.8));
  await supervisor.act("stop", idOf("before"));
  expect((await supervisor.reaches(idOf("after"), "failed")).reason).toBe(
    "exited with code 3; given up after 1 failed runs",
  );
});

test("the next supervisor still shows a daemon that waits for a lock as starting, and runs it when the holder ends", async () => {
  for (const name of ["here", "there"]) await write(name, "lock = ~/crash");
  const { pid } = await supervisor.up(idOf("here"));
  await queue("there", "crash");
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect((await supervisor.status(idOf("here"))).pid).toBe(pid);
  const there = await until("the daemon to wait again", async () => {
    const status = await supervisor.status(idOf("there"));
    return status.reason === words("crash") && status;
  });
  expect(there.state).toBe("starting");
  await supervisor.act("stop", idOf("here"));
  await supervisor.reaches(idOf("there"), "running");
  await supervisor.act("stop", idOf("there"));
});

test("a run by once that waits for its lock runs only once under the next supervisor", async () => {
  for (const name of ["in-front", "single"]) await write(name, "lock = ~/single");
  await supervisor.up(idOf("in-front"));
  const cutOff = supervisor.act("once", idOf("single")).catch(() => "cut off");
  await until(
    "the daemon to wait for the lock",
    async () => (await supervisor.status(idOf("single"))).reason === words("single"),
  );
  await supervisor.end("SIGKILL");
  await cutOff;
  await supervisor.start();
  await until(
    "the daemon to wait for the lock",
    async () => (await supervisor.status(idOf("single"))).reason === words("single"),
  );
  await supervisor.act("stop", idOf("in-front"));
  const { pid } = await supervisor.reaches(idOf("single"), "running");
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(idOf("single"), "stopped");
});

test.each([
  ["a directory", () => alice.makeDirectory("bad"), "is a directory"],
  ["in a directory that is not there", () => succeed("rm", "-rf", `${alice.home}/bad`), "directory nonexistent"],
  ["another's", () => succeed("ln", "-sfn", `${bob.home}/theirs`, `${alice.home}/bad`), "permission denied"],
  ["root's", () => succeed("ln", "-sfn", "/etc/dmhost-planted", `${alice.home}/bad`), "permission denied"],
])("a launch whose lock file cannot be opened (%s) fails with the reason", async (name, make, why) => {
  await make();
  const path = name.startsWith("in") ? "bad/lock" : "bad";
  await write("bad", `lock = ~/${path}`, "max-retries = 0");
  const { ok, reason, advice } = await supervisor.act("start", idOf("bad"));
  expect([ok, reason]).toEqual([false, `cannot start "${idOf("bad")}": locking ${alice.home}/${path}: ${why}`]);
  expect(advice).toContain("lock=");
  expect(lstatSync("/etc/dmhost-planted", { throwIfNoEntry: false })).toBeUndefined();
});

test.each([
  ["a FIFO", "mkfifo ~/odd"],
  ["a device", "ln -s /dev/zero ~/odd"],
])("a lock file that is %s does not block the supervisor", async (_name, make) => {
  await succeed("rm", "-f", `${alice.home}/odd`);
  await succeed(...alice.become, "sh", "-c", make.replaceAll("~", alice.home));
  await write("odd", "lock = ~/odd");
  const { daemon } = await supervisor.act("start", idOf("odd"));
  expect(["running", "coolingdown", "failed"]).toContain(daemon.state);
  expect((await supervisor.act("stop", idOf("odd"))).ok).toBe(true);
});

test("a daemon that exits with 100 is failed and not restarted until a manual start", async () => {
  await write("final", "start = exit 100");
  const { ok, reason } = await supervisor.act("start", idOf("final"));
  const expected = "exited with code 100 (it asks not to be started again)";
  expect([ok, reason]).toEqual([false, `cannot start "${idOf("final")}": ${expected}`]);
  expect(await supervisor.reaches(idOf("final"), "failed")).toMatchObject({
    reason: expected,
    cooldown: 0,
    respawns: 0,
  });
  expect(supervisor.starts(idOf("final"))).toHaveLength(1);
  await supervisor.act("start", idOf("final"));
  await supervisor.reaches(idOf("final"), "failed");
  await until("the second start in the log", () => supervisor.starts(idOf("final")).length === 2);
});

test("a healthy daemon that exits with 100 is failed as well", async () => {
  await write("late", "start = sleep 0.5; exit 100", "healthy-after = 50ms");
  expect((await supervisor.act("start", idOf("late"))).ok).toBe(true);
  await supervisor.reaches(idOf("late"), "failed");
  expect(supervisor.starts(idOf("late"))).toHaveLength(1);
});
