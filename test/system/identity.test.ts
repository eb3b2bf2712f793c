/** Ids, capabilities, descriptors and environment of a daemon's process (docs/explanation/security.md#5). */
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, descriptorsOf, environmentOf, numbersOf, sessionOf, statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const CANARY = "DMHOST_CANARY";

let stage: Stage;
let alice: Account;
let worker: Account;
let groups: number[];
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  groups = [await stage.group("one"), await stage.group("two"), await stage.group("stranger")];
  alice = await stage.account("alice", "one");
  worker = await stage.account("worker", "one", "two");
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${worker.name}`], {
    env: { [CANARY]: "1", LD_LIBRARY_PATH: "/nowhere", NODE_NO_WARNINGS: "1" },
  });
  alice.makeDirectory("site");
  alice.writeConf("plain", "dir = ~/site", "start = exec sleep 1000");
  alice.writeConf("logged", "start = exec sleep 1000", "output = log");
  alice.writeConf("site", "start = exec sleep 1000", "listen = fastcgi", "autostart = no");
  alice.writeConf("lent", `user = ${worker.name}`, "start = exec sleep 1000");
  alice.writeConf("stolen", "user = nobody", "start = exec sleep 1000");
  alice.writeConf("crowned", "user = root", "start = exec sleep 1000");
  alice.writeConf("numbered", "user = 0", "start = exec sleep 1000");
  alice.writeConf(
    "hostile",
    `export LD_PRELOAD = ${alice.home}/evil.so`,
    "export PATH = /evil",
    "export IFS = /",
    `export ENV = ${alice.home}/evil.sh`,
    `export BASH_ENV = ${alice.home}/evil.sh`,
    "export PS4 = $(id)",
    "export GLIBC_TUNABLES = glibc.malloc.check=3",
    `export QUOTED = "a 'b' $(id) \`id\``,
    "start = exec /bin/sleep 1000",
  );
  const rootsOwn = `${stage.directory}/root-daemons`;
  mkdirSync(rootsOwn, { mode: 0o755 });
  writeFileSync(`${rootsOwn}/own.conf`, "start = exec sleep 1000\n");
  writeFileSync(`${rootsOwn}/lent.conf`, `user = ${worker.name}\nstart = exec sleep 1000\n`);
  alice.write("evil.sh", `id -u >>${alice.home}/evil-ran\n`);
  await supervisor.start();
});
afterAll(() => stage.remove());

const pidOf = async (name: string): Promise<number> => {
  const { pid } = await supervisor.reaches(`${alice.name}/${name}`, "running");
  await until(`${name} to exec its program`, () => argumentsOf(pid)[0]?.endsWith("sleep"));
  return pid;
};

const expectIdentity = (pid: number, account: Account, supplementary: number[]): void => {
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(account.uid));
  expect(numbersOf(pid, "Gid")).toEqual(Array(4).fill(account.gid));
  expect(numbersOf(pid, "Groups")).toEqual([account.gid, ...supplementary].sort((a, b) => a - b));
};

test("a daemon has exactly its account's ids and groups", async () => {
  const [one = 0, two = 0] = groups;
  expectIdentity(await pidOf("plain"), alice, [one]);
  expectIdentity(await pidOf("lent"), worker, [one, two]);
});

test("root's own daemons run as root, or as the account that user= names", async () => {
  const [own, lent] = [
    await supervisor.reaches("root/own", "running"),
    await supervisor.reaches("root/lent", "running"),
  ];
  expect(numbersOf(own.pid, "Uid")).toEqual([0, 0, 0, 0]);
  expectIdentity(lent.pid, worker, groups.slice(0, 2));
});

test("a daemon has no capabilities, and no_new_privs is set", async () => {
  const status = statusOf(await pidOf("plain"));
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    expect([set, status.get(set)]).toEqual([set, "0".repeat(16)]);
  expect(status.get("NoNewPrivs")).toBe("1");
});

test("a daemon has only descriptors 0, 1 and 2", async () => {
  const { pid } = await supervisor.up(`${alice.name}/site`);
  for (const each of [await pidOf("plain"), await pidOf("logged"), pid])
    expect([...descriptorsOf(each).keys()]).toEqual([0, 1, 2]);
  expect(descriptorsOf(await pidOf("plain")).get(0)).toBe("/dev/null");
  expect(descriptorsOf(await pidOf("logged")).get(1)).toMatch(/\.fifo$/);
  expect(descriptorsOf(pid).get(0)).toMatch(/^socket:/);
});

test("a daemon inherits no variable of the supervisor's environment", async () => {
  const expected = {
    HOME: alice.home,
    LOGNAME: alice.name,
    USER: alice.name,
    PATH: "/usr/local/bin:/usr/bin:/bin",
    SHELL: "/bin/sh",
  };
  expect(environmentOf(await pidOf("plain"))).toEqual({
    ...expected,
    // The tenant's /bin/sh sets PWD.
    PWD: `${alice.home}/site`,
  });
  const lent = environmentOf(await pidOf("lent"));
  expect([lent["HOME"], lent["USER"], lent["LOGNAME"]]).toEqual([worker.home, worker.name, worker.name]);
  expect(environmentOf(supervisor.pid)[CANARY]).toBe("1");
});

test("a daemon runs in its dir=, as the leader of a new session", async () => {
  const pid = await pidOf("plain");
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(`${alice.home}/site`);
  expect(readlinkSync(`/proc/${await pidOf("lent")}/cwd`)).toBe("/");
  expect(sessionOf(pid)).toBe(pid);
  expect(statusOf(pid).get("Umask")).toBe("0022");
});

test("a daemon whose user= is not granted is forbidden with the reason and never started", async () => {
  const stolen = await supervisor.reaches(`${alice.name}/stolen`, "forbidden");
  expect(stolen.reason).toBe(
    `it may not run as "nobody": no line of [runs_as] lets ${alice.name} run daemons as nobody`,
  );
  const crowned = await supervisor.reaches(`${alice.name}/crowned`, "forbidden");
  expect(crowned.reason).toContain('it may not run as "root"');
  expect((await supervisor.act("start", `${alice.name}/crowned`)).ok).toBe(false);
  expect(supervisor.starts(`${alice.name}/crowned`)).toEqual([]);
  const numbered = await supervisor.reaches(`${alice.name}/numbered`, "invalid");
  expect(numbered.reason).toMatch(/numbered\.conf:1: user: expected the name of an account/);
});

test("a tenant's variables reach the tenant's process and no process that runs as root", async () => {
  const pid = await pidOf("hostile");
  const ran = `${alice.home}/evil-ran`;
  expect(existsSync(ran) ? readFileSync(ran, "utf8").split("\n") : []).not.toContain("0");
  // IFS is missing here, because the tenant's /bin/sh ignores it in the environment.
  expect(environmentOf(pid)).toMatchObject({
    LD_PRELOAD: `${alice.home}/evil.so`,
    PATH: "/evil",
    ENV: `${alice.home}/evil.sh`,
    BASH_ENV: `${alice.home}/evil.sh`,
    PS4: "$(id)",
    GLIBC_TUNABLES: "glibc.malloc.check=3",
    QUOTED: `"a 'b' $(id) \`id\``,
  });
});
