/** Files that root removes or replaces under a running supervisor: it goes on and repairs what it can. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { ask } from "./control-api.ts";
import { askLine, lineServer } from "./line-server.ts";
import { loggerOf } from "./log-directory.ts";
import { isRunning, processesOf, statusOf } from "./proc.ts";
import { CHECKOUT, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let serve: ReturnType<typeof lineServer>;
let supervisor: Supervisor;
/** Path of the supervisor's program. */
let program: string;
/** The supervisor that was started first. */
let pid: number;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  serve = lineServer(alice);
  program = join(stage.directory, "supervisor.ts");
  symlinkSync(join(CHECKOUT, "apps/supervisor/src/app/main.ts"), program);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name], {
    program: [join(CHECKOUT, "node_modules/.bin/node"), program],
  });
  await supervisor.start();
  pid = supervisor.pid;
});
afterEach(() => {
  expect(isRunning(pid), supervisor.text().slice(-2000)).toBe(true);
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const logOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const connected = async (path: string): Promise<Socket> => {
  const socket = createConnection(path);
  await once(socket, "connect");
  return socket;
};
const load = async (name: string, ...lines: string[]): Promise<void> => {
  alice.writeConf(name, ...lines, "autostart = no");
  await supervisor.rescan();
};

test("a daemon whose socket file was removed can be stopped, and starts again with a new socket", async () => {
  await load("stopped", serve("3"), "listen = http");
  await supervisor.up(idOf("stopped"));
  rmSync(socketOf("stopped"));
  expect(await supervisor.act("stop", idOf("stopped"))).toMatchObject({ ok: true });
  const next = await supervisor.up(idOf("stopped"));
  expect((await askLine(socketOf("stopped"))).pid).toBe(next.pid);
});

test("a client that waits at a socket whose directory was removed is disconnected when the daemon stops", async () => {
  await load("waited", serve("3"), "listen = http", "stop-timeout = 0.3");
  const { pid: server } = await supervisor.up(idOf("waited"));
  process.kill(server, "SIGSTOP");
  await until("the process to be stopped by the signal", () => statusOf(server).get("State")?.startsWith("T"));
  const request = askLine(socketOf("waited")).catch((error) => String(error));
  await new Promise((resolve) => setTimeout(resolve, 100));
  rmSync(dirname(socketOf("waited")), { recursive: true });
  expect(await supervisor.act("stop", idOf("waited"))).toMatchObject({ ok: true });
  expect(await request).toMatch(/ECONNRESET|no answer/);
  const next = await supervisor.up(idOf("waited"));
  expect((await askLine(socketOf("waited"))).pid).toBe(next.pid);
});

test("an ondemand daemon whose socket file is removed during a request finishes it and goes to sleep", async () => {
  await load("idle", serve("3"), "listen = http", "ondemand = yes", "idle-timeout = 0.2");
  await supervisor.act("start", idOf("idle"));
  const request = askLine(socketOf("idle"), `wait ${alice.home}/enough`);
  await supervisor.reaches(idOf("idle"), "running");
  rmSync(socketOf("idle"));
  await new Promise((resolve) => setTimeout(resolve, 600));
  alice.write("enough", "");
  await request;
  await supervisor.reaches(idOf("idle"), "asleep");
});

test("both instances of a daemon whose socket file was removed can be killed in turn and are replaced", async () => {
  // While these are open, the socket gets a higher descriptor number; the new socket gets one of theirs.
  const callers = await Promise.all(Array.from({ length: 8 }, () => connected(supervisor.socket)));
  await load("pair", serve("3"), "listen = http", "instances = 2", "healthy-after = 0");
  await supervisor.up(idOf("pair"));
  const running = (former: readonly number[] = []): Promise<number[]> =>
    until("two new running instances", async () => {
      const { instances } = await supervisor.status(idOf("pair"));
      const pids = instances.filter(({ state }) => state === "running").map((each) => each.pid);
      return pids.length === 2 && !pids.some((each) => former.includes(each)) && pids;
    });
  const [first = 0, second = 0] = await running();
  const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
  const before = descriptors();
  for (const caller of callers) caller.destroy();
  await until("the callers' descriptors to be closed", () => descriptors() <= before - callers.length);
  rmSync(socketOf("pair"));
  process.kill(first, "SIGKILL");
  await running([first]);
  process.kill(second, "SIGKILL");
  const pids = await running([first, second]);
  expect(pids).toContain((await askLine(socketOf("pair"))).pid);
});

test("an instance's record that cannot be removed is reported in the log", async () => {
  await load("scaled", serve("3"), "listen = http");
  await supervisor.up(idOf("scaled"));
  await supervisor.scale(idOf("scaled"), 2);
  const record = join(supervisor.stateDir, "daemons", alice.name, "scaled#2.json");
  await until("a directory at the record's path, which the supervisor may just be writing", () => {
    rmSync(record, { force: true });
    try {
      mkdirSync(record);
      return true;
    } catch {
      return false;
    }
  });
  await supervisor.scale(idOf("scaled"), 1);
  await until("the failure in the log", () =>
    supervisor.log().some(({ reason }) => reason?.startsWith("cannot remove its record: ")),
  );
  // The supervisor may have renamed the directory as its backup.
  for (const each of [record, `${record}~`]) rmSync(each, { recursive: true, force: true });
});

test("a log whose FIFO was replaced by a directory is closed at the stop and opened again at the start", async () => {
  await load("talker", "start = while echo line; do sleep 0.1; done", "output = log");
  await supervisor.up(idOf("talker"));
  const fifos = join(supervisor.runDir, "logs", alice.name);
  const fifo = readdirSync(fifos).find((name) => /^talker\.\d+\.fifo$/.test(name)) ?? "";
  rmSync(join(fifos, fifo));
  mkdirSync(join(fifos, fifo));
  expect(await supervisor.act("stop", idOf("talker"))).toMatchObject({ ok: true });
  await until("exit of the logger", () => loggerOf(alice.uid, logOf("talker")) === undefined);
  await supervisor.up(idOf("talker"));
});

test("a daemon whose socket was replaced by a directory can be stopped and unloaded, and the directory stays", async () => {
  await load("covered", serve("3"), "listen = http");
  await supervisor.up(idOf("covered"));
  rmSync(socketOf("covered"));
  mkdirSync(socketOf("covered"));
  expect(await supervisor.act("stop", idOf("covered"))).toMatchObject({ ok: true });
  const reason = expect.stringContaining("publishing its socket: shim: listen");
  expect(await supervisor.act("start", idOf("covered"))).toMatchObject({ ok: false, reason });
  rmSync(join(alice.home, alice.conf("covered")));
  expect((await supervisor.rescan()).removed).toEqual([idOf("covered")]);
  rmdirSync(socketOf("covered"));
});

test("a daemon whose socket directory was replaced by a file can be stopped, and started once the file is gone", async () => {
  await load("blocked", serve("3"), "listen = http");
  await supervisor.up(idOf("blocked"));
  const directory = dirname(socketOf("blocked"));
  rmSync(directory, { recursive: true });
  writeFileSync(directory, "");
  expect(await supervisor.act("stop", idOf("blocked"))).toMatchObject({ ok: true });
  expect(await supervisor.act("start", idOf("blocked"))).toMatchObject({ ok: false });
  rmSync(directory);
  const { pid: server } = await supervisor.up(idOf("blocked"));
  expect((await askLine(socketOf("blocked"))).pid).toBe(server);
});

test("SIGTERM ends a supervisor whose socket paths were replaced by directories, and the next one starts", async () => {
  const bob = await stage.account("bob");
  const covered = stage.supervisor("covered", ["[runs_as]", bob.name]);
  const serveBob = lineServer(bob);
  bob.writeConf("held", serveBob("3"), "listen = http");
  bob.writeConf("bound", serveBob("$DM_SOCKET"), "listen = path");
  bob.writeConf("late", `start = sleep 1000`, "ready = notify", "ready-timeout = 1h", "stop-timeout = 0.1");
  bob.writeConf("lost", serveBob("3"), "listen = http");
  await covered.start();
  const named = (name: string): string => `${bob.name}/${name}`;
  for (const name of ["held", "bound", "lost"]) await covered.reaches(named(name), "running");
  await covered.reaches(named("late"), "starting");
  const sockets = ["held", "bound", "lost"].map((name) => `${covered.fastcgiDir}/${bob.name}/${name}.sock`);
  const others = [covered.socket, join(covered.runDir, "notify", bob.name, "late.sock")];
  for (const path of [...sockets, ...others]) {
    rmSync(path);
    mkdirSync(path);
  }
  expect(await covered.end("SIGTERM"), covered.text().slice(-2000)).toBe(0);
  expect(covered.log().at(-1)?.msg).toBe("stopped");
  rmSync(covered.socket, { recursive: true });
  await covered.start();
  for (const path of [...sockets, ...others]) rmSync(path, { force: true, recursive: true });
  await covered.end("SIGKILL");
  rmSync(join(bob.home, bob.conf("lost")));
  mkdirSync(sockets[2] ?? "");
  await covered.start();
  expect(await covered.end("SIGTERM")).toBe(0);
});

test("SIGHUP without a program on disk only reloads the policy and conf files", async () => {
  rmSync(program);
  const read = () => supervisor.log().filter(({ msg }) => msg === "conf files read again").length;
  const before = read();
  supervisor.signal("SIGHUP");
  await until("conf files to be read again", () => read() > before);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(supervisor.text()).not.toContain("re-executing");
});

test("a supervisor whose own log cannot be written goes on, and exits with 0 on SIGTERM", async () => {
  const mute = stage.supervisor("mute", ["[runs_as]", alice.name]);
  symlinkSync("/dev/full", join(dirname(mute.config), "supervisor.log"));
  const { pid: mutePid = 0 } = mute.spawn();
  const isHealthy = async (): Promise<boolean> => {
    try {
      return (await ask(mute.socket, "GET", "/v1/health")).status === 200;
    } catch {
      return false;
    }
  };
  await until("an answer or the exit of the supervisor", async () => !isRunning(mutePid) || (await isHealthy()));
  await ask(mute.socket, "POST", "/v1/rescan");
  expect(await isHealthy()).toBe(true);
  expect(await mute.end("SIGTERM")).toBe(0);
});

/** Runs a program in its own mount namespace without a cgroup2 file system. */
const UNGROUPED = ["unshare", "--mount", "sh", "-c", 'umount -l -a -t cgroup2; exec "$@"', "sh"];

test.each([
  ["cgroups", []],
  ["no cgroups", UNGROUPED],
])("a supervisor that runs out of descriptors (with %s) recovers when it can open some again", async (_, through) => {
  const bob = await stage.account(through.length > 0 ? "carol" : "dave");
  const named = (name: string): string => `${bob.name}/${name}`;
  const crowded = stage.supervisor(bob.name, ["[runs_as]", bob.name], { through });
  // A memory limit makes the supervisor sample processes; one child outlives the main process, which is killed.
  const outlive = "start = (trap '' TERM; while :; do sleep 0.1; done) & exec sleep 1000";
  bob.writeConf("pair", outlive, "memory = 64M", "stop-timeout = 0.1");
  bob.writeConf("idle", lineServer(bob)("3"), "listen = http", "ondemand = yes", "idle-timeout = 0.2");
  await crowded.start();
  const { pid: main } = await crowded.reaches(named("pair"), "running");
  const request = askLine(`${crowded.fastcgiDir}/${bob.name}/idle.sock`, `wait ${bob.home}/enough`);
  const { pid: busy } = await crowded.reaches(named("idle"), "running");
  const descriptors = (soft: string) => execFileSync("prlimit", ["--pid", `${crowded.pid}`, `--nofile=${soft}:`]);
  const [, soft = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${crowded.pid}/limits`, "utf8")) ?? [];
  const former = processesOf(bob.uid).filter((pid) => pid !== busy);
  descriptors("3");
  process.kill(main, "SIGKILL");
  bob.writeConf("later", "start = sleep 1000", "autostart = no");
  for (let count = 0; count < 4; count += 1) {
    crowded.signal("SIGHUP");
    await Promise.race([
      ask(crowded.socket, "GET", "/v1/health").catch(() => "turned away"),
      new Promise((resolve) => setTimeout(resolve, 250)),
    ]);
  }
  descriptors(soft);
  await crowded.reaches(named("pair"), "running", main);
  expect(former.filter((pid) => isRunning(pid))).toEqual([]);
  bob.write("enough", "");
  expect((await request).pid).toBe(busy);
  await crowded.rescan();
  expect((await crowded.status(named("later"))).state).toBe("stopped");
  await crowded.reaches(named("idle"), "asleep");
  expect(await crowded.end("SIGTERM")).toBe(0);
});
