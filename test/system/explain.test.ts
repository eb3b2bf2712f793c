/** `dmctl explain` and `dmctl export`: reason of a daemon's state, rules of the policy and their lines, the whole state. */
import { existsSync, readFileSync } from "node:fs";
import type { Explanation, PolicyAnswer, StateExport } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { bytesReadBy } from "./proc.ts";
import { type Ended, run, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let toolbox: Toolbox;
let amy: Account;
let bob: Account;
let david: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = new Stage();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  amy = await stage.account("amy");
  bob = await stage.account("bob");
  david = await stage.account("david");
  supervisor = stage.supervisor("main", [
    "[runs_as]",
    `${amy.name}: ${david.name}`,
    bob.name,
    "[manages]",
    `${david.name}: ${amy.name}`,
  ]);
  amy.writeConf("site", "start = exec sleep 1000", `user = ${david.name}`, "export COLOUR = red", "dri = /");
  amy.writeConf("loud", "start = echo 'first \u001b[2J'; echo second; exit 7", "output = log", "max-retries = 1");
  bob.writeConf("secret", "start = exec sleep 1000");
  amy.writeConf("deaf", "start = trap '' TERM; while :; do sleep 1000; done", "stop-timeout = 1s", "autostart = no");
  await supervisor.start();
  await supervisor.reaches(`${amy.name}/site`, "running");
  await supervisor.reaches(`${amy.name}/loud`, "failed");
});
afterAll(() => stage.remove());

const dmctl = (account: Account, ...words: string[]): Promise<Ended> =>
  account.run([toolbox.node, toolbox.dmctl, ...words], { env: { DMCTL_SOCKET: supervisor.socket } });
const asRoot = (...words: string[]): Promise<Ended> =>
  run([toolbox.node, toolbox.dmctl, ...words], {
    env: { PATH: "/usr/bin:/bin", HOME: "/root", DMCTL_SOCKET: supervisor.socket },
  });
/** File and number of this line of the policy. */
const placeOf = (line: string): string =>
  `${supervisor.config}:${readFileSync(supervisor.config, "utf8").split("\n").indexOf(line) + 1}`;

test("explain of a running daemon shows its policy, its managers and every setting", async () => {
  const { code, stdout } = await dmctl(david, "explain", `${amy.name}/site`, "--json");
  const explained = JSON.parse(stdout) as Explanation;
  expect([code, explained.daemon.state, explained.lastExit, explained.advice]).toEqual([0, "running", null, ""]);
  expect(explained.policy).toEqual({
    runAs: {
      allowed: true,
      reason: `[runs_as] lets ${amy.name} run daemons as ${david.name}`,
      source: placeOf(`${amy.name}: ${david.name}`),
    },
    managers: [{ user: david.name, source: placeOf(`${david.name}: ${amy.name}`) }],
  });
  const given = explained.settings.filter(({ isDefault }) => !isDefault).map(({ key, value }) => `${key}=${value}`);
  expect(given).toEqual([
    "start=exec sleep 1000",
    `user=${david.name}`,
    `export COLOUR=(for ${amy.name} and root only)`,
  ]);
  const own = JSON.parse((await dmctl(amy, "explain", "site", "--json")).stdout) as Explanation;
  expect(own.settings).toContainEqual({ key: "export COLOUR", value: "red", isDefault: false });
  expect(explained.settings).toContainEqual({ key: "stop-timeout", value: "10s", isDefault: true });
  expect(explained.log).toEqual({ lines: [], problem: "it has no log: output=discard" });
  expect(explained.containment).toMatch(/^cgroup$|^sessions \(/);
  const text = (await dmctl(david, "site", "explain")).stdout;
  expect(text).toContain(`warning      ${amy.home}/${amy.conf("site")}:4: unknown key "dri" is ignored`);
  expect(text).toContain(`managed by   ${amy.name}, root, ${david.name} (${placeOf(`${david.name}: ${amy.name}`)})`);
});

test("explain of a failed daemon shows its exit, its last log lines with control characters escaped, and advice", async () => {
  const { code, stdout } = await dmctl(amy, "explain", "loud");
  expect(code).toBe(0);
  const [first, second] = stdout.split("\n");
  expect(first).toBe(`${amy.name}/loud is failed: exited with code 7; given up after 2 failed runs`);
  expect(second).toBe(`Correct the cause and start it again; \`dmctl ${amy.name}/loud log\` shows its last lines.`);
  expect(stdout).toMatch(/^last exit {4}run 2: exited with code 7; the program's own exit code; .*counts as failed$/m);
  expect(stdout).toMatch(/^failed runs {2}2 in a row; at most 1 are retried$/m);
  expect(stdout).toMatch(/^next retry {3}none until `dmctl .*\/loud start`$/m);
  expect(stdout).toMatch(/^ {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} first \\x1b\[2J$/m);
  expect(stdout.trimEnd()).toMatch(/ second$/);
});

test("explain names stop-timeout as the cause of a kill only if the stop-timeout caused it", async () => {
  const lastExit = async (): Promise<unknown> =>
    (JSON.parse((await dmctl(amy, "explain", "deaf", "--json")).stdout) as Explanation).lastExit;
  await supervisor.up(`${amy.name}/deaf`);
  expect((await supervisor.act("stop", `${amy.name}/deaf`)).ok).toBe(true);
  expect(await lastExit()).toMatchObject({
    signal: "SIGKILL",
    cause: "stop-timeout",
    text: "killed by SIGKILL",
    meaning: "it ignored TERM and was killed after stop-timeout",
  });
  const { pid } = await supervisor.up(`${amy.name}/deaf`);
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(`${amy.name}/deaf`, "running", pid);
  expect(await lastExit()).toMatchObject({
    cause: null,
    meaning: "a kill -9, or the kernel: out of memory",
  });
  await supervisor.act("stop", `${amy.name}/deaf`);
  await dmctl(amy, "rescan");
});

test("explain of a daemon with a huge log file answers without reading all of it", async () => {
  bob.writeConf("huge", "start = exec sleep 1000", "output = log", "autostart = no");
  await supervisor.rescan();
  await supervisor.up(`${bob.name}/huge`);
  const current = `${bob.home}/.daemon-manager/logs/huge/current`;
  await until("the log file", () => existsSync(current));
  expect((await bob.run(["truncate", "--size=50G", current])).code).toBe(0);
  const before = bytesReadBy(supervisor.pid);
  expect((await dmctl(bob, "explain", "huge")).code).toBe(0);
  expect(bytesReadBy(supervisor.pid) - before).toBeLessThan(20 * 1024 ** 2);
  await bob.run(["rm", current, `${bob.home}/${bob.conf("huge")}`]);
  await supervisor.act("stop", `${bob.name}/huge`);
  await supervisor.rescan();
});

test("explain refuses a caller who may not control the daemon, as if it did not exist", async () => {
  const [forbidden, unknown] = [
    await dmctl(amy, "explain", `${bob.name}/secret`),
    await dmctl(amy, "explain", `${bob.name}/nothing`),
  ];
  expect([forbidden.code, unknown.code]).toEqual([3, 3]);
  expect(forbidden.stderr.replaceAll("secret", "nothing")).toBe(unknown.stderr);
});

test("explain --policy answers yes or no with the deciding line of the policy", async () => {
  const ask = async (account: Account, caller: Account, ...what: string[]): Promise<[number | undefined, string]> => {
    const { code, stdout, stderr } = await dmctl(account, "explain", "--policy", caller.name, ...what);
    return [code, stdout || stderr];
  };
  const manages = placeOf(`${david.name}: ${amy.name}`);
  const runsAs = placeOf(`${amy.name}: ${david.name}`);
  expect(await ask(david, david, "restart", `${amy.name}/site`)).toEqual([
    0,
    `yes: [manages] lets ${david.name} manage the daemons of ${amy.name} (${manages})\n`,
  ]);
  expect(await ask(david, david, "edit", `${amy.name}/site`)).toEqual([
    1,
    `no: only ${amy.name} and root may change the files of ${amy.name}'s daemons\n`,
  ]);
  expect(await ask(david, amy, "run-as", david.name)).toEqual([
    0,
    `yes: [runs_as] lets ${amy.name} run daemons as ${david.name} (${runsAs})\n`,
  ]);
  expect((await ask(amy, amy, "run-as", bob.name))[0]).toBe(1);
  expect((await ask(amy, amy, "fly", `${amy.name}/site`))[0]).toBe(2);
  expect((await ask(amy, amy, "stop", "site"))[0]).toBe(2);
  const { stdout } = await asRoot("explain", "--policy", bob.name, "stop", `${amy.name}/site`, "--json");
  expect(JSON.parse(stdout) as PolicyAnswer).toEqual({
    caller: bob.name,
    verb: "stop",
    address: `${amy.name}/site`,
    allowed: false,
    reason: `no line of [manages] lets ${bob.name} manage the daemons of ${amy.name}`,
    source: "",
  });
});

test("explain --policy tells root that an account does not exist, for every kind of question", async () => {
  const ghost = bob.name.replace("bob", "rob");
  const none = `no: there is no account "${ghost}" on this machine\n`;
  for (const question of [
    [ghost, "stop", `${amy.name}/site`],
    [ghost, "edit", `${amy.name}/site`],
    [ghost, "run-as", amy.name],
    [amy.name, "stop", `${ghost}/site`],
    [amy.name, "edit", `${ghost}/site`],
    [amy.name, "run-as", ghost],
    ["root", "stop", `${ghost}/site`],
    ["root", "run-as", ghost],
  ]) {
    expect(await asRoot("explain", "--policy", ...question)).toEqual({ code: 1, stdout: none, stderr: "" });
  }
});

test("explain --policy does not reveal to others which accounts and daemons exist", async () => {
  const stranger = bob.name.replace("bob", "rob");
  const ask = async (caller: string, ...what: string[]): Promise<string> => {
    const { code, stdout, stderr } = await dmctl(david, "explain", "--policy", caller, ...what);
    return `${code} ${stdout}${stderr}`.replaceAll(stranger, bob.name);
  };
  const one = `${amy.name}/site`;
  expect(await ask(bob.name, "stop", one)).toMatch(/^3 /);
  expect(await ask(bob.name, "stop", one)).toBe(await ask(stranger, "stop", one));
  for (const verb of ["stop", "edit"]) {
    const answer = await ask(amy.name, verb, `${bob.name}/secret`);
    expect(answer).toMatch(/^1 no: no line of \[manages\]/);
    expect(await ask(amy.name, verb, `${stranger}/secret`)).toBe(answer);
  }
});

test("export shows the whole state, to root only", async () => {
  const refused = await dmctl(amy, "export");
  expect([refused.code, refused.stdout, refused.stderr]).toEqual([
    3,
    "",
    `dmctl: only root may do this, and you are ${amy.name}\n`,
  ]);
  const { code, stdout } = await asRoot("export");
  const state = JSON.parse(stdout) as StateExport;
  expect([code, state.policy.file, state.policy.owners]).toEqual([0, supervisor.config, ["root", amy.name, bob.name]]);
  expect(state.policy.manages).toEqual([
    { holder: david.name, object: amy.name, source: placeOf(`${david.name}: ${amy.name}`) },
  ]);
  expect(state.policy.runsAs.map(({ holder, object }) => `${holder} ${object}`)).toEqual([
    `${amy.name} ${amy.name}`,
    `${amy.name} ${david.name}`,
    `${bob.name} ${bob.name}`,
  ]);
  expect(state.daemons.map(({ daemon, lifecycle }) => [daemon.id, lifecycle.phase, lifecycle.desiredState])).toEqual([
    [`${amy.name}/deaf`, "stopped", "down"],
    [`${amy.name}/loud`, "failed", "up"],
    [`${amy.name}/site`, "running", "up"],
    [`${bob.name}/secret`, "running", "up"],
  ]);
  const site = state.daemons[2];
  const age = Date.now() - Date.parse(site?.lifecycle.startedAt ?? "");
  expect(age).toBeGreaterThan(0);
  expect(age).toBeLessThan(120_000);
  expect(state.daemons[1]?.log.lines.at(-1)).toMatch(/^@[0-9a-f]{24} second$/);
});
