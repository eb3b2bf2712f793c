/** Root's rescan and SIGHUP: changes of policy and accounts take effect, nothing else does, and problems are logged. */
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import type { DaemonList } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { isRunning, numbersOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { LogEntry, Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let carol: Account;
let web: Account;
let staff: number;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  staff = await stage.group("staff");
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  carol = await stage.account("carol");
  web = await stage.account("web");
  supervisor = stage.supervisor("main", POLICY());
  alice.writeConf("chg", "start = exec sleep 1000");
  alice.writeConf("cd", "start = exec sleep 1000");
  bob.writeConf("one", "start = exec sleep 1000");
  carol.writeConf("site", "start = exec sleep 1000", `user = ${web.name}`);
  await supervisor.start();
  await supervisor.reaches(idOf(alice, "chg"), "running");
  await supervisor.reaches(idOf(alice, "cd"), "running");
  await supervisor.reaches(idOf(carol, "site"), "running");
});
afterAll(() => stage.remove());

const POLICY = (): string[] => ["[runs_as]", alice.name, `${carol.name}: ${web.name}`, `@${nameFor("staff")}`];
const idOf = ({ name }: Account, daemon: string): string => `${name}/${daemon}`;
const ids = async (): Promise<string[]> =>
  ((await supervisor.ask("GET", "/v1/daemons")).body as DaemonList).daemons.map(({ id }) => id);
const nothing = { found: [], started: [], changed: [], removed: [], problems: [] };

test("a changed primary group leaves daemons running or stopped, and is in force after a restart", async () => {
  const { pid } = await supervisor.status(idOf(alice, "chg"));
  await supervisor.act("stop", idOf(alice, "cd"));
  await alice.moveTo("staff");
  expect(await supervisor.rescan()).toMatchObject(nothing);
  expect(await supervisor.status(idOf(alice, "cd"))).toMatchObject({ state: "stopped", desiredState: "down" });
  expect(await supervisor.status(idOf(alice, "chg"))).toMatchObject({ state: "running", pid });
  const { daemon } = await supervisor.act("restart", idOf(alice, "chg"));
  expect(numbersOf(daemon.pid, "Gid")).toEqual([staff, staff, staff, staff]);
  process.kill(daemon.pid, "SIGKILL");
  expect(numbersOf((await supervisor.reaches(idOf(alice, "chg"), "running", daemon.pid)).pid, "Gid")[0]).toBe(staff);
});

test("a daemon that crashes after its account's primary group changed is started with the new group", async () => {
  await carol.moveTo("staff");
  carol.writeConf("own", "start = exec sleep 1000");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf(carol, "own"), "running");
  await carol.moveTo("carol");
  await supervisor.rescan();
  expect((await supervisor.status(idOf(carol, "own"))).pid).toBe(pid);
  process.kill(pid, "SIGKILL");
  expect(numbersOf((await supervisor.reaches(idOf(carol, "own"), "running", pid)).pid, "Gid")[0]).toBe(carol.gid);
});

test("an account that joins a group gains the group's grants, and loses them when it leaves", async () => {
  expect(await ids()).not.toContain(idOf(bob, "one"));
  await bob.join("staff");
  expect(await supervisor.rescan()).toMatchObject({
    ...nothing,
    found: [idOf(bob, "one")],
    started: [idOf(bob, "one")],
  });
  const { pid } = await supervisor.reaches(idOf(bob, "one"), "running");
  expect(numbersOf(pid, "Groups")).toContain(staff);
  await bob.leave("staff");
  expect(await supervisor.rescan()).toMatchObject(nothing);
  const { reason } = await supervisor.reaches(idOf(bob, "one"), "forbidden");
  expect(reason).toContain(`the policy does not let ${bob.name} run daemons`);
  expect(isRunning(pid)).toBe(false);
});

test("the policy is applied to the account that a run runs as, not to a changed user= in its conf file", async () => {
  const { pid } = await supervisor.reaches(idOf(carol, "site"), "running");
  carol.writeConf("site", "start = exec sleep 1000", `user = ${alice.name}`);
  await until(
    "the daemon to be marked as changed",
    async () => (await supervisor.status(idOf(carol, "site"))).configChanged,
  );
  await supervisor.rescan();
  expect(await supervisor.status(idOf(carol, "site"))).toMatchObject({ state: "running", pid });
  carol.writeConf("site", "start = exec sleep 1000", `user = ${carol.name}`);
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, carol.name]);
  await supervisor.rescan();
  await until("exit of the forbidden daemon", () => !isRunning(pid));
});

/** Sends SIGHUP; returns the log entries up to the message `last`. */
const hangUp = async (last: string): Promise<LogEntry[]> => {
  const before = supervisor.log().length;
  supervisor.signal("SIGHUP");
  return until(`"${last}"`, () => {
    const since = supervisor.log().slice(before);
    return since.some(({ msg }) => msg === last) && since;
  });
};
/** Number of the policy's last line. */
const lines = (): number => readFileSync(supervisor.config, "latin1").trimEnd().split("\n").length;
const problemsOf = (entries: readonly LogEntry[], message: string): (string | undefined)[] =>
  entries.filter(({ msg }) => msg === message).map(({ problem }) => problem);

test("SIGHUP logs every problem of the policy and of conf files, as a start does", async () => {
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, "dmt-nobody-at-all"]);
  alice.writeConf("typo", "start = exec sleep 1000", "colour = red", "autostart = no");
  const broken = alice.writeConf("broken", "strat = true");
  const typo = `${alice.home}/${alice.conf("typo")}:2: unknown key "colour" is ignored`;
  const expectProblems = (entries: readonly LogEntry[]): void => {
    expect(problemsOf(entries, "about the policy")).toEqual([
      expect.stringMatching(new RegExp(`policy\\.conf:${lines()}: .*"dmt-nobody-at-all"`)),
    ]);
    expect(problemsOf(entries, "about a conf file")).toEqual([
      expect.stringContaining(`${broken}: there is no "start" line`),
      expect.stringContaining(`${broken}:1: unknown key "strat" is ignored`),
      expect.stringContaining(typo),
    ]);
  };
  const entries = await hangUp("conf files read again");
  expectProblems(entries);
  // The log is written asynchronously: entries of an earlier rescan may appear only now.
  const read = entries.findLast(({ msg }) => msg === "policy read again");
  expect(read).toMatchObject({ owners: ["root", alice.name] });
  const before = supervisor.log().length;
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expectProblems(supervisor.log().slice(before));
});

test("of 500 SIGHUPs in a row those that come during a reload are one reload, and the API answers after them", async () => {
  const reloads = (): LogEntry[] => supervisor.log().filter(({ msg }) => msg === "conf files read again");
  const before = reloads().length;
  for (let sent = 0; sent < 500; sent += 1) {
    supervisor.signal("SIGHUP");
    // The kernel merges signals that have not been delivered.
    await pause(1);
  }
  const last = Date.now();
  await until("a reload", () => reloads().length > before);
  // Root's rescan takes its turn after those that wait.
  await supervisor.rescan();
  // One is carried out when the last signal is sent, one waits, and the last signal may come when that has begun.
  expect(reloads().filter(({ time }) => time > last).length).toBeLessThanOrEqual(3);
});

test("SIGHUP refuses a policy that is not UTF-8 or writable by others, and the former policy stays in force", async () => {
  appendFileSync(supervisor.config, Buffer.from([0x23, 0x20, 0xe4, 0x0a]));
  const refusal = (await hangUp("the policy file has errors; the policy in force stays")).at(-1);
  const reason = `${supervisor.config}:${lines()}: this line is not UTF-8 text`;
  expect(refusal?.err?.message).toContain(reason);
  expect(await supervisor.ask("POST", "/v1/rescan")).toMatchObject({
    status: 422,
    body: { details: [expect.stringContaining(reason)] },
  });
  expect((await supervisor.status(idOf(alice, "chg"))).state).toBe("running");
  writeFileSync(supervisor.config, "");
  chmodSync(supervisor.config, 0o666);
  expect((await hangUp("the policy file has errors; the policy in force stays")).at(-1)?.err?.message).toContain(
    "chmod go-w it",
  );
  chmodSync(supervisor.config, 0o644);
});
