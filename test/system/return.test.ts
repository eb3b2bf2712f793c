/** Another supervisor continues although what it finds is not as the former one left it. */
import { chmodSync, existsSync, lstatSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askLine, lineServer } from "./line-server.ts";
import { argumentsOf, childrenOf, isRunning, kill, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let serve: ReturnType<typeof lineServer>;
let supervisor: Supervisor;
let count = 0;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  serve = lineServer(alice);
});
afterAll(() => stage.remove());
beforeEach(() => {
  count += 1;
});
afterEach(async () => {
  await supervisor.end("SIGTERM");
  const left = processesOf(alice.uid);
  // The next test does not begin with what a failed one has left.
  for (const pid of left) kill(pid);
  chmodSync(join(alice.home, ".daemon-manager/daemons"), 0o755);
  rmSync(join(alice.home, ".daemon-manager"), { recursive: true });
  expect(left.map(argumentsOf)).toEqual([]);
});

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const policy = (): string[] => [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name];
/** The same supervisor, on the same directories. */
const begin = async (lines: readonly string[] = policy()): Promise<void> => {
  supervisor = stage.supervisor(`main${count}`, lines);
  await supervisor.start();
};
const again = async (): Promise<void> => {
  await supervisor.end("SIGKILL");
  await supervisor.start();
};
const pids = async (...names: readonly string[]) =>
  Promise.all(names.map(async (name) => (await supervisor.status(idOf(name))).pid));
const sleepers = (seconds: number): number[] =>
  processesOf(alice.uid).filter((pid) => argumentsOf(pid).join(" ") === `sleep ${seconds}`);

test.each([
  [
    "conf directory cannot be read",
    (hidden: boolean) => chmodSync(join(alice.home, ".daemon-manager/daemons"), hidden ? 0 : 0o755),
  ],
  [
    "home is away",
    (hidden: boolean) => renameSync(hidden ? alice.home : `${alice.home}~`, hidden ? `${alice.home}~` : alice.home),
  ],
])("daemons whose owner's %s go on, and are known when it is back", async (_, hide) => {
  alice.writeConf("site", serve("3", "no", "site"), "listen = http");
  alice.writeConf("stopped", "start = exec sleep 4711");
  await begin();
  await supervisor.reaches(idOf("site"), "running");
  await supervisor.act("stop", idOf("stopped"));
  const [site] = await pids("site");
  hide(true);
  try {
    await again();
    await sleep(300);
    expect(isRunning(site ?? 0)).toBe(true);
    expect((await askLine(socketOf("site"))).word).toBe("site");
  } finally {
    hide(false);
  }
  // It is read again by itself.
  await until("its daemons", async () => {
    const { body } = await supervisor.ask("GET", "/v1/daemons");
    return (body as { daemons: unknown[] }).daemons.length === 2;
  });
  expect(await pids("site")).toEqual([site]);
  expect((await supervisor.status(idOf("stopped"))).state).toBe("stopped");
  expect(sleepers(4711)).toEqual([]);
});

test("what belongs to an owner whose conf files cannot be read ends with the supervisor, and continues with the next", async () => {
  alice.writeConf("site", serve("3", "no", "site"), "listen = http", "output = log");
  await begin();
  await supervisor.reaches(idOf("site"), "running");
  const directory = join(alice.home, ".daemon-manager/daemons");
  chmodSync(directory, 0);
  await again();
  await supervisor.end("SIGTERM");
  await until("the end of all", () => processesOf(alice.uid).length === 0);
  expect(existsSync(socketOf("site"))).toBe(false);
  chmodSync(directory, 0o755);
  await supervisor.start();
  await supervisor.reaches(idOf("site"), "running");
});

test("the permitted daemon stays where the owner may have one", async () => {
  alice.writeConf("zeta", "start = exec sleep 4712");
  await begin([...policy(), "[limits]", `${alice.name}: daemons = 1`]);
  await supervisor.reaches(idOf("zeta"), "running");
  alice.writeConf("alpha", "start = exec sleep 4713");
  await supervisor.rescan();
  const before = await pids("zeta");
  await again();
  expect(await pids("zeta")).toEqual(before);
  expect((await supervisor.status(idOf("alpha"))).state).toBe("forbidden");
});

test("directories that are reached by another name are the same", async () => {
  alice.writeConf("site", serve("3", "no", "site"), "listen = http", "output = log");
  alice.writeConf("asleep", serve("3", "no", "asleep"), "listen = http", "ondemand = yes");
  await begin();
  await supervisor.reaches(idOf("site"), "running");
  await supervisor.reaches(idOf("asleep"), "asleep");
  const before = await pids("site");
  const { dev, ino } = lstatSync(socketOf("asleep"));
  await supervisor.end("SIGKILL");
  const directory = join(supervisor.runDir, "..");
  symlinkSync(directory, `${directory}-link`);
  for (const each of ["runDir", "fastcgiDir", "stateDir"] as const) {
    supervisor[each] = supervisor[each].replace(directory, `${directory}-link`);
  }
  await supervisor.start();
  expect(await pids("site")).toEqual(before);
  expect((await askLine(socketOf("asleep"))).word).toBe("asleep");
  expect(lstatSync(socketOf("asleep"))).toMatchObject({ dev, ino });
  await supervisor.act("restart", idOf("site"));
});

test("a conf file that was edited and not put in force is not put in force by another supervisor", async () => {
  alice.writeConf("site", serve("3", "no", "former"), "listen = http", "output = log");
  await begin();
  await supervisor.reaches(idOf("site"), "running");
  const before = await pids("site");
  alice.writeConf("site", "start = exec sleep 4717");
  await supervisor.rescan();
  await again();
  expect(await supervisor.status(idOf("site"))).toMatchObject({
    pid: before[0],
    configChanged: true,
    state: "running",
  });
  expect((await askLine(socketOf("site"))).word).toBe("former");
  // Nor where it ends and is started again.
  kill(before[0] ?? 0);
  await supervisor.reaches(idOf("site"), "running", before[0]);
  expect((await askLine(socketOf("site"))).word).toBe("former");
  await supervisor.act("restart", idOf("site"));
  expect(sleepers(4717)).toHaveLength(1);
  expect(existsSync(socketOf("site"))).toBe(false);
});

test("a site whose conf file is invalid at the start is refused, as when it becomes invalid", async () => {
  alice.writeConf("asleep", serve("3", "no", "asleep"), "listen = http", "ondemand = yes");
  await begin();
  await supervisor.reaches(idOf("asleep"), "asleep");
  alice.writeConf("asleep", "listen = never");
  await again();
  await supervisor.reaches(idOf("asleep"), "invalid");
  await expect(askLine(socketOf("asleep"))).rejects.toThrow("ENOENT");
});

test("with another run directory the former shim ends, and nothing runs twice", async () => {
  alice.writeConf("plain", "start = exec sleep 4714", "output = log");
  await begin();
  await supervisor.reaches(idOf("plain"), "running");
  await sleep(200);
  const { shim = 0 } = supervisor;
  await supervisor.end("SIGKILL");
  supervisor.runDir = `${supervisor.runDir}2`;
  await supervisor.start();
  await supervisor.reaches(idOf("plain"), "running");
  expect(isRunning(shim)).toBe(false);
  await until("one of it", () => sleepers(4714).length === 1);
});

test("both instances of a daemon are followed while the supervisor is stopped", async () => {
  alice.writeConf("pair", serve("3", "no", "pair"), "listen = http", "instances = 2");
  await begin();
  await supervisor.reaches(idOf("pair"), "running");
  await sleep(300);
  supervisor.signal("SIGSTOP");
  const former = childrenOf(supervisor.shim ?? 0);
  expect(former).toHaveLength(2);
  for (const pid of former) kill(pid);
  await until(
    "the next ones",
    () => childrenOf(supervisor.shim ?? 0).filter((pid) => !former.includes(pid)).length === 2,
  );
  supervisor.signal("SIGCONT");
  await supervisor.reaches(idOf("pair"), "running");
});

test("a program that makes the shim its tracer goes on when it is signalled", async () => {
  // PTRACE_TRACEME
  const program = alice.write(
    "traced.pl",
    'syscall(101, 0, 0, 0, 0); $SIG{USR1} = sub { open F, ">", "came"; close F }; sleep 1 while 1;',
  );
  alice.writeConf("traced", "dir = ~", `start = exec perl ${program}`);
  await begin();
  await supervisor.reaches(idOf("traced"), "running");
  const [pid = 0] = await pids("traced");
  process.kill(pid, "SIGUSR1");
  await until("its handler", () => existsSync(join(alice.home, "came")));
  expect(await pids("traced")).toEqual([pid]);
});

test("a shim that dies while every daemon is being stopped does not begin them again", async () => {
  alice.writeConf("slow", "start = trap '' TERM; sleep 4718 & wait; wait", "stop-timeout = 60");
  await begin();
  await supervisor.reaches(idOf("slow"), "running");
  const ended = supervisor.end("SIGTERM");
  await until("its request", () =>
    supervisor.log().some(({ daemon, msg }) => daemon === idOf("slow") && msg === "stopping"),
  );
  kill(supervisor.shim ?? 0);
  expect(await ended).toBe(0);
  await until("the end of all", () => processesOf(alice.uid).length === 0);
});

test("a daemon that exited is not started by another supervisor, before a rescan is requested", async () => {
  alice.writeConf("site", serve("3", "no", "site"), "listen = http", "output = log");
  await begin();
  await supervisor.reaches(idOf("site"), "running");
  await supervisor.act("exit", idOf("site"));
  const list = async () => ((await supervisor.ask("GET", "/v1/daemons")).body as { daemons: unknown[] }).daemons;
  for (const round of [1, 2]) {
    await again();
    expect([round, await list(), processesOf(alice.uid)]).toEqual([round, [], []]);
    expect(existsSync(socketOf("site"))).toBe(false);
  }
  await supervisor.rescan();
  await supervisor.reaches(idOf("site"), "running");
});

test("a supervisor waits for a shim that was stopped, and its daemons go on", async () => {
  alice.writeConf("plain", "start = exec sleep 4719");
  await begin();
  await supervisor.reaches(idOf("plain"), "running");
  const before = await pids("plain");
  const { shim = 0 } = supervisor;
  await supervisor.end("SIGKILL");
  process.kill(shim, "SIGSTOP");
  const waits = (times: number) =>
    until("that it says so", () => {
      const lines = supervisor
        .log()
        .filter(({ msg }) => msg === "the start waits for the shim, which holds the daemons");
      return lines.length === times && lines.at(-1)?.reason;
    });
  const child = supervisor.spawn();
  expect(await waits(1)).toContain(
    `the shim (pid ${shim}) at ${supervisor.runDir}/shim.sock has not answered for 10 s`,
  );
  child.kill("SIGTERM");
  await until("its end", () => child.exitCode !== null);
  expect([child.exitCode, isRunning(before[0] ?? 0)]).toEqual([1, true]);
  supervisor.spawn();
  await waits(2);
  process.kill(shim, "SIGCONT");
  await until("that it is ready", () => supervisor.log().filter(({ msg }) => msg === "ready").length === 2);
  expect([await pids("plain"), supervisor.shim]).toEqual([before, shim]);
}, 60_000);

test.each(["SIGHUP", "SIGTERM"] as const)("%s while it starts is handled when it has started", async (signal) => {
  alice.writeConf("plain", "start = exec sleep 4716");
  supervisor = stage.supervisor(`main${count}`, policy());
  const child = supervisor.spawn();
  // Its shim comes before its daemons.
  await until("its shim", () => supervisor.shim);
  child.kill(signal);
  if (signal === "SIGTERM") {
    await until("its end", () => child.exitCode !== null || child.signalCode !== null);
    expect([child.exitCode, child.signalCode]).toEqual([0, null]);
    expect(supervisor.shim).toBeUndefined();
    return;
  }
  await until("that it is ready", () => supervisor.log().some(({ msg }) => msg === "ready"));
  await supervisor.reaches(idOf("plain"), "running");
  expect(child.exitCode).toBeNull();
});
