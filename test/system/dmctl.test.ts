/** dmctl end to end: real accounts, a real supervisor, and what a terminal's user gets to see and to do. */
import { existsSync, lstatSync, readFileSync, readlinkSync } from "node:fs";
import type { DaemonList, DaemonStatus, Outcome } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Account } from "./account.ts";
import { Follower } from "./follower.ts";
import { isRunning } from "./proc.ts";
import type { Ended } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let helper: Account;
let eve: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  helper = await stage.account("helper");
  eve = await stage.account("eve");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name, ...MANAGES()]);
  alice.writeConf("web", "start = exec sleep 1000");
  alice.writeConf("job", "start = echo working; exec sleep 1000", "output = log", "colour = red");
  alice.writeConf("lost", "dir = /nonexistent", "start = exec sleep 1000", "autostart = no", "max-retries = 0");
  alice.writeConf("wrong", "start = exec sleep 1000", "listen = everywhere");
  bob.writeConf("web", "start = exec sleep 1000");
  await supervisor.start();
  for (const id of [`${alice.name}/web`, `${alice.name}/job`, `${bob.name}/web`])
    await supervisor.reaches(id, "running");
});
afterAll(() => stage.remove());

const MANAGES = (): string[] => ["[manages]", `${helper.name}: ${alice.name}, ${bob.name}`];

const dmctl = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words]);
const publicly = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words], { env: { DMCTL_SOCKET: supervisor.socket } });
const pidOf = async (id: string): Promise<number> => (await supervisor.status(id)).pid;

test("`dmctl` without words shows the status of the daemons that the caller may control", async () => {
  const [alone, status] = [await dmctl(alice), await dmctl(alice, "status")];
  const path = (name: string): string => `${alice.home}/${alice.conf(name)}`;
  expect([alone.code, alone.stderr]).toEqual([
    0,
    expect.stringMatching(new RegExp(`^warning: ${path("job")}:3: unknown key "colour" is ignored: .*\n$`)),
  ]);
  const [head, ...rows] = alone.stdout.trim().split("\n");
  expect(head?.split(/ +/)).toEqual(["daemon-id", "state", "pid", "respawns", "cooldown", "uptime", "total"]);
  expect(rows.map((row) => row.split(/ +/).slice(0, 2))).toEqual([
    [`${alice.name}/job`, "running"],
    [`${alice.name}/lost`, "stopped"],
    [`${alice.name}/web`, "running"],
    [`${alice.name}/wrong`, "invalid"],
  ]);
  expect(status.stdout.split("\n").length).toBe(alone.stdout.split("\n").length);
  const { daemons } = JSON.parse((await dmctl(alice, "web", "status", "--json")).stdout) as DaemonList;
  expect(daemons.map(({ id, state, user }) => [id, state, user])).toEqual([
    [`${alice.name}/web`, "running", alice.name],
  ]);
});

test("list prints ids, and the link in the home leads to the caller's own socket", async () => {
  expect((await dmctl(bob, "list")).stdout).toBe(`${bob.name}/web\n`);
  expect((await dmctl(helper, "list")).stdout.trim().split("\n")).toHaveLength(5);
  expect(JSON.parse((await dmctl(bob, "list", "--json")).stdout)).toEqual([`${bob.name}/web`]);
  expect(readlinkSync(`${bob.home}/.daemon-manager/command.sock`)).toBe(
    `${supervisor.runDir}/users/${bob.name}/command.sock`,
  );
  const socket = lstatSync(`${supervisor.runDir}/users/${bob.name}/command.sock`);
  expect([socket.uid, socket.mode & 0o777]).toEqual([bob.uid, 0o600]);
});

test.each([
  ["pid", async () => String(await pidOf(`${alice.name}/job`))],
  ["logfile", async () => `${alice.home}/.daemon-manager/logs/job/current`],
  ["configfile", async () => `${alice.home}/${alice.conf("job")}`],
])("dmctl %s prints its value and nothing else, before and after the name of the daemon", async (verb, expected) => {
  for (const words of [
    [verb, "job"],
    ["job", verb],
    [`${alice.name}/job`, verb],
  ]) {
    const { code, stdout } = await dmctl(alice, ...words);
    expect([code, stdout]).toEqual([0, `${await expected()}\n`]);
  }
});

test("tail and explain work before and after the name of the daemon", async () => {
  for (const words of [
    ["job", "tail"],
    ["tail", "job"],
  ]) {
    const { file, args } = {
      file: alice.become[0] ?? "",
      args: [...alice.become.slice(1), toolbox.node, toolbox.dmctl],
    };
    const follower = new Follower([file, ...args, ...words], { ...alice.environment });
    await follower.says("working");
    expect(await follower.interrupt()).toBe(0);
  }
  const [one, other] = [await dmctl(alice, "web", "explain"), await dmctl(alice, "explain", "web")];
  expect([one.code, other.code]).toEqual([0, 0]);
  for (const { stdout } of [one, other]) expect(stdout.split("\n")[0]).toBe(`${alice.name}/web is running`);
});

test("stop, start and restart wait for the outcome of one or several daemons", async () => {
  const first = await pidOf(`${alice.name}/web`);
  const restarted = await dmctl(alice, "web", "restart");
  const second = await pidOf(`${alice.name}/web`);
  expect([restarted.code, restarted.stdout]).toEqual([0, `${alice.name}/web running, pid ${second}\n`]);
  expect(isRunning(first)).toBe(false);
  const stopped = await dmctl(alice, "stop", "web", "job");
  expect([stopped.code, stopped.stdout]).toEqual([0, `${alice.name}/web stopped\n${alice.name}/job stopped\n`]);
  expect(isRunning(second)).toBe(false);
  const none = await dmctl(alice, "web", "pid");
  expect([none.code, none.stdout]).toEqual([1, ""]);
  const started = await dmctl(alice, "job", "start", "--json");
  const outcome = JSON.parse(started.stdout) as Outcome;
  expect([started.code, outcome.ok, outcome.daemon.state]).toEqual([0, true, "running"]);
  expect([started.stderr, outcome.daemon.warnings]).toEqual([
    "",
    [expect.stringMatching(/job\.conf:3: unknown key "colour" is ignored/)],
  ]);
  expect((await dmctl(alice, "start", "web")).code).toBe(0);
});

test("a daemon that does not reach the requested state is exit code 1, with the reason", async () => {
  const lost = await dmctl(alice, "lost", "start");
  expect([lost.code, lost.stdout]).toEqual([1, ""]);
  const [first] = lost.stderr.split("\n");
  expect(first).toBe(
    `dmctl: cannot start "${alice.name}/lost": entering /nonexistent: no such directory, or no permission to reach it`,
  );
  const wrong = await dmctl(alice, "wrong", "start");
  expect([wrong.code, wrong.stderr]).toEqual([
    1,
    expect.stringMatching(/wrong\.conf:2: listen: expected none, fastcgi, systemd, http or path/),
  ]);
});

test.each([
  [["frobnicate"]],
  [["start"]],
  [["web", "kill", "-0"]],
  [["web", "kill", "-FOO"]],
  [["web", "kill", "-99"]],
  [["status", "--colour"]],
  [["start", ".."]],
])("the wrong command line %j is exit code 2", async (words) => {
  const { code, stdout, stderr } = await dmctl(alice, ...words);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(/^dmctl: /);
});

test("unknown and forbidden daemons are answered alike, with exit code 3", async () => {
  const stranger = bob.name.replace("bob", "rob");
  const [forbidden, unknown] = [
    await dmctl(alice, "stop", `${bob.name}/web`),
    await dmctl(alice, "stop", `${stranger}/web`),
  ];
  expect([forbidden.code, unknown.code]).toEqual([3, 3]);
  expect(forbidden.stderr.replaceAll(bob.name, stranger)).toBe(unknown.stderr);
  for (const verb of ["status", "pid", "log", "edit", "restart"]) {
    expect((await dmctl(alice, verb, `${bob.name}/web`)).code).toBe(3);
  }
  expect((await supervisor.status(`${bob.name}/web`)).state).toBe("running");
});

test("a missing supervisor is exit code 4", async () => {
  const env = { DMCTL_SOCKET: `${stage.directory}/nowhere.sock` };
  const { code, stderr } = await alice.run([toolbox.node, toolbox.dmctl, "status"], { env });
  expect([code, stderr]).toEqual([4, expect.stringContaining("nowhere.sock")]);
});

test("a manager may stop and start daemons, but not edit them, nor use a name that two of them have", async () => {
  const ambiguous = await dmctl(helper, "web", "stop");
  expect(ambiguous.code).toBe(3);
  expect(ambiguous.stderr).toContain(`  ${alice.name}/web\n  ${bob.name}/web\n`);
  expect((await dmctl(helper, `${bob.name}/web`, "stop")).code).toBe(0);
  expect((await dmctl(helper, "start", `${bob.name}/web`)).code).toBe(0);
  const path = `${bob.home}/${bob.conf("web")}`;
  const before = readFileSync(path, "utf8");
  const editor = helper.write("editor", '#!/bin/sh\necho "start = id" >"$1"; echo >"$HOME/ran"\n', 0o755);
  const edit = await helper.run([toolbox.node, toolbox.dmctl, "edit", `${bob.name}/web`], { env: { EDITOR: editor } });
  expect([edit.code, edit.stderr]).toEqual([3, expect.stringContaining("does not own it")]);
  expect(readFileSync(path, "utf8")).toBe(before);
  expect(existsSync(`${helper.home}/ran`)).toBe(false);
});

test("a user who is not in the policy is refused with that reason", async () => {
  for (const words of [["status"], ["list"], ["rescan"], ["stop", `${bob.name}/web`]]) {
    const { code, stdout, stderr } = await publicly(eve, ...words);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toContain(`${eve.name} is not in the policy`);
  }
});

test("a user whose account is newer than the policy in force is refused by name", async () => {
  const newcomer = await stage.account("newcomer");
  const { code, stderr } = await publicly(newcomer, "status");
  expect([code, stderr.split("\n")[0]]).toEqual([
    3,
    `dmctl: ${newcomer.name} is not in the policy, so may neither run nor manage daemons here`,
  ]);
});

test("a recreated account has no rights of its name before root's rescan", async () => {
  const former = await stage.account("former");
  stage.writePolicy(supervisor, ["[runs_as]", alice.name, bob.name, former.name, ...MANAGES()]);
  await supervisor.rescan();
  const unused = await stage.account("unused");
  const [renamed] = await Account.exchange(former, unused);
  const { code, stderr } = await publicly(renamed, "status");
  expect([code, stderr]).toEqual([3, expect.stringContaining("is not in the policy")]);
  await supervisor.rescan();
  expect((await publicly(renamed, "list")).code).toBe(0);
});

test("an edited file is validated before it is written", async () => {
  const path = `${alice.home}/${alice.conf("web")}`;
  const edit = (script: string, ...words: string[]): Promise<Ended> => {
    const editor = alice.write("editor", `#!/bin/sh\n${script}\n`, 0o755);
    const env = { EDITOR: editor, TMPDIR: alice.makeDirectory("drafts") };
    return alice.run([toolbox.node, toolbox.dmctl, ...words, ...["web", "edit"].slice(words.length)], { env });
  };
  const good = await edit('echo "export EDITED = yes" >>"$1"');
  expect([good.code, good.stderr]).toEqual([
    0,
    expect.stringContaining("is written; it takes effect at the next start"),
  ]);
  const written = readFileSync(path, "utf8");
  expect(written).toContain("export EDITED = yes");
  expect([lstatSync(path).uid, lstatSync(path).mode & 0o022]).toEqual([alice.uid, 0]);
  const bad = await edit('echo "output = maybe" >>"$1"');
  expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/web\.conf:3: output: expected log or discard/)]);
  expect(readFileSync(path, "utf8")).toBe(written);
  expect((await edit("exit 1")).code).toBe(1);
  expect((await edit("true")).stderr).toContain("is unchanged");
  const swapped = await edit('echo "# by the other order" >>"$1"', "edit", "web");
  expect([swapped.code, readFileSync(path, "utf8")]).toEqual([0, `${written}# by the other order\n`]);
});

test.each(["-9", "-KILL", "-SIGKILL", "KILL", "SIGKILL"])(
  "`kill %s` reaches the daemon, which is respawned",
  async (signal) => {
    const id = `${bob.name}/web`;
    const { pid } = await supervisor.reaches(id, "running");
    expect((await dmctl(bob, "web", "kill", signal)).code).toBe(0);
    const { respawns }: DaemonStatus = await supervisor.reaches(id, "running", pid);
    expect(respawns).toBeGreaterThan(0);
    // A failed run's wait grows: begin its count again.
    await supervisor.act("restart", id);
  },
);

test("rescan prints and starts new daemons, and prints the files that it cannot load", async () => {
  const path = bob.writeConf("fresh", "start = exec sleep 1000");
  const { code, stdout } = await dmctl(bob, "rescan");
  expect([code, stdout]).toEqual([0, `found   ${bob.name}/fresh\nstarted ${bob.name}/fresh\n`]);
  await supervisor.reaches(`${bob.name}/fresh`, "running");
  bob.writeConf("typo", "start = exec sleep 1000", "ouptut = log");
  expect(await dmctl(bob, "rescan")).toEqual({
    code: 0,
    stdout: `found   ${bob.name}/typo\nstarted ${bob.name}/typo\n`,
    stderr: `warning: ${bob.home}/${bob.conf("typo")}:2: unknown key "ouptut" is ignored: did you mean "output"?\n`,
  });
  bob.writeConf("odd", "strat = exec sleep 1000");
  const odd = await dmctl(bob, "scan");
  expect([odd.code, odd.stderr]).toEqual([1, expect.stringContaining('odd.conf: there is no "start" line')]);
  await bob.run(["rm", path]);
  expect((await dmctl(bob, "rescan")).stdout).toBe(`removed ${bob.name}/fresh\n`);
  expect((await dmctl(bob, "fresh", "stop")).code).toBe(0);
  expect((await dmctl(bob, "fresh", "status")).code).toBe(3);
});

/** A request is sent again for 3 s from its first failure on. In ms. */
const SURELY_PATIENT = 2500;

test("requests made while no supervisor runs are carried out by the next one", async () => {
  const { pid } = await supervisor.up(`${alice.name}/job`);
  await supervisor.end("SIGKILL");
  const began = performance.now();
  const [status, stop] = [dmctl(alice, "job", "pid"), dmctl(alice, "stop", "web")];
  const health = await dmctl(alice, "health");
  expect([health.code, health.stderr]).toEqual([
    4,
    expect.stringMatching(
      /: nothing listens at .*\nask the administrator of this machine to start it, or set DMCTL_SOCKET/s,
    ),
  ]);
  await supervisor.start();
  const isPatient = performance.now() - began < SURELY_PATIENT;
  const answers = await Promise.all([status, stop]);
  // On a busy machine the supervisor is away for longer than they wait.
  if (!isPatient) return;
  expect(answers).toEqual([
    { code: 0, stdout: `${pid}\n`, stderr: "" },
    { code: 0, stdout: expect.stringContaining(`${alice.name}/web`), stderr: "" },
  ]);
  expect((await supervisor.status(`${alice.name}/web`)).state).toBe("stopped");
});

test("status, stop and start succeed while the supervisor is killed and started again", async () => {
  alice.writeConf("slow", "start = trap '' TERM; while :; do sleep 0.1; done", "stop-timeout = 1s");
  await supervisor.rescan();
  const id = `${alice.name}/slow`;
  await supervisor.reaches(id, "running");
  const results: (Ended & { readonly began: number })[] = [];
  const request = async (...words: string[]): Promise<void> => {
    const began = performance.now();
    results.push({ ...(await dmctl(alice, ...words)), began });
  };
  // Its connection breaks while it waits for the daemon.
  const cut = request("slow", "stop");
  await supervisor.reaches(id, "stopping");
  await supervisor.end("SIGKILL");
  let isBack = false;
  const loops = [["status"], ["web", "stop"], ["job", "start"]].map(async (words) => {
    while (!isBack) await request(...words);
  });
  try {
    await supervisor.start();
  } finally {
    isBack = true;
  }
  const ready = performance.now();
  await Promise.all([cut, ...loops]);
  expect(results.filter(({ stderr }) => stderr.includes("dmhost up"))).toEqual([]);
  // On a busy machine the supervisor is away for longer than the first ones wait.
  const patient = results.filter(({ began }) => ready - began < SURELY_PATIENT);
  expect(patient.filter(({ code }) => code !== 0)).toEqual([]);
  expect((await dmctl(alice, "slow", "stop")).code).toBe(0);
});
