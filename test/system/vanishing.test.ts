/** What root takes away beneath a supervisor: it goes on, and puts in order what it can. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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
/** Where the supervisor's program is. */
let program: string;
/** The supervisor that was there at the beginning. */
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

test("a daemon whose socket has vanished is stopped, and begins anew behind another", async () => {
  await load("stopped", serve("3"), "listen = http");
  await supervisor.up(idOf("stopped"));
  rmSync(socketOf("stopped"));
  expect(await supervisor.act("stop", idOf("stopped"))).toMatchObject({ ok: true });
  const next = await supervisor.up(idOf("stopped"));
  expect((await askLine(socketOf("stopped"))).pid).toBe(next.pid);
});

test("who waits at a socket whose directory has vanished is sent away when its daemon stops", async () => {
  await load("waited", serve("3"), "listen = http", "stop-timeout = 0.3");
  const { pid: server } = await supervisor.up(idOf("waited"));
  process.kill(server, "SIGSTOP");
  await until("its stop", () => statusOf(server).get("State")?.startsWith("T"));
  const visit = askLine(socketOf("waited")).catch((error) => String(error));
  await new Promise((resolve) => setTimeout(resolve, 100));
  rmSync(dirname(socketOf("waited")), { recursive: true });
  expect(await supervisor.act("stop", idOf("waited"))).toMatchObject({ ok: true });
  expect(await visit).toMatch(/ECONNRESET|no answer/);
  const next = await supervisor.up(idOf("waited"));
  expect((await askLine(socketOf("waited"))).pid).toBe(next.pid);
});

test("a daemon that is visited while its socket vanishes goes on, and to sleep", async () => {
  await load("idle", serve("3"), "listen = http", "ondemand = yes", "idle-timeout = 0.2");
  await supervisor.act("start", idOf("idle"));
  const visit = askLine(socketOf("idle"), `wait ${alice.home}/enough`);
  await supervisor.reaches(idOf("idle"), "running");
  rmSync(socketOf("idle"));
  await new Promise((resolve) => setTimeout(resolve, 600));
  alice.write("enough", "");
  await visit;
  await supervisor.reaches(idOf("idle"), "asleep");
});

test("of two behind a socket that has vanished the one that goes on may end, too", async () => {
  // While they are there, the socket gets a descriptor above theirs; the one in its place gets one of theirs.
  const callers = await Promise.all(Array.from({ length: 8 }, () => connected(supervisor.socket)));
  await load("pair", serve("3"), "listen = http", "instances = 2", "healthy-after = 0");
  await supervisor.up(idOf("pair"));
  const running = (former: readonly number[] = []): Promise<number[]> =>
    until("two that run", async () => {
      const { instances } = await supervisor.status(idOf("pair"));
      const pids = instances.filter(({ state }) => state === "running").map((each) => each.pid);
      return pids.length === 2 && !pids.some((each) => former.includes(each)) && pids;
    });
  const [first = 0, second = 0] = await running();
  const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
  const before = descriptors();
  for (const caller of callers) caller.destroy();
  await until("their descriptors free", () => descriptors() <= before - callers.length);
  rmSync(socketOf("pair"));
  process.kill(first, "SIGKILL");
  await running([first]);
  process.kill(second, "SIGKILL");
  const pids = await running([first, second]);
  expect(pids).toContain((await askLine(socketOf("pair"))).pid);
});

test("the record of an instance that cannot be removed is told of", async () => {
  await load("scaled", serve("3"), "listen = http");
  await supervisor.up(idOf("scaled"));
  await supervisor.scale(idOf("scaled"), 2);
  const record = join(supervisor.stateDir, "daemons", alice.name, "scaled#2.json");
  await until("a directory in its place, which may be written again at this moment", () => {
    rmSync(record, { force: true });
    try {
      mkdirSync(record);
      return true;
    } catch {
      return false;
    }
  });
  await supervisor.scale(idOf("scaled"), 1);
  await until("a line about it", () =>
    supervisor.log().some(({ reason }) => reason?.startsWith("cannot remove its record: ")),
  );
  // It may have been taken for the spare one.
  for (const each of [record, `${record}~`]) rmSync(each, { recursive: true, force: true });
});

test("a log whose FIFO has become something else is closed for all that, and opened again", async () => {
  await load("talker", "start = while echo line; do sleep 0.1; done", "output = log");
  await supervisor.up(idOf("talker"));
  const fifo = join(supervisor.runDir, "logs", alice.name, "talker.fifo");
  rmSync(fifo);
  mkdirSync(fifo);
  expect(await supervisor.act("stop", idOf("talker"))).toMatchObject({ ok: true });
  await until("the end of its logger", () => loggerOf(alice.uid, logOf("talker")) === undefined);
  expect(existsSync(fifo)).toBe(false);
  mkdirSync(fifo);
  await supervisor.up(idOf("talker"));
});

test("a daemon at whose socket's path something else stands is stopped and dropped, and that is told", async () => {
  await load("covered", serve("3"), "listen = http");
  await supervisor.up(idOf("covered"));
  rmSync(socketOf("covered"));
  mkdirSync(socketOf("covered"));
  expect(await supervisor.act("stop", idOf("covered"))).toMatchObject({ ok: true });
  rmSync(join(alice.home, alice.conf("covered")));
  expect((await supervisor.rescan()).removed).toEqual([idOf("covered")]);
  await until("a line about it", () =>
    supervisor.log().some(({ daemon, reason }) => daemon === idOf("covered") && reason?.includes(socketOf("covered"))),
  );
  rmSync(socketOf("covered"), { recursive: true });
});

test("a daemon is stopped whose sockets' directory has become a file, and begins anew when that is gone", async () => {
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

test("a log whose FIFO cannot be taken away is closed for all that, and that is told", async () => {
  await load("mounted", "start = while echo line; do sleep 0.1; done", "output = log");
  await supervisor.up(idOf("mounted"));
  const fifo = join(supervisor.runDir, "logs", alice.name, "mounted.fifo");
  rmSync(fifo);
  mkdirSync(fifo);
  execFileSync("mount", ["-t", "tmpfs", "none", fifo]);
  try {
    expect(await supervisor.act("stop", idOf("mounted"))).toMatchObject({ ok: true });
    await until("the end of its logger", () => loggerOf(alice.uid, logOf("mounted")) === undefined);
    await until("a line about it", () =>
      supervisor.log().some(({ daemon, reason }) => daemon === idOf("mounted") && reason?.includes(fifo)),
    );
  } finally {
    execFileSync("umount", [fifo]);
  }
  await supervisor.up(idOf("mounted"));
});

test("TERM ends a supervisor in whose places other things stand, and the next one begins", async () => {
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

test("SIGHUP while there is no program on disk reads policy and files again, no more", async () => {
  rmSync(program);
  const read = () => supervisor.log().filter(({ msg }) => msg === "conf files read again").length;
  const before = read();
  supervisor.signal("SIGHUP");
  await until("files read again", () => read() > before);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(supervisor.text()).not.toContain("re-executing");
});

test("a supervisor whose own log cannot be written goes on, and ends as it should", async () => {
  const mute = stage.supervisor("mute", ["[runs_as]", alice.name]);
  symlinkSync("/dev/full", join(dirname(mute.config), "supervisor.log"));
  const { pid: itself = 0 } = mute.spawn();
  const isHealthy = async (): Promise<boolean> => {
    try {
      return (await ask(mute.socket, "GET", "/v1/health")).status === 200;
    } catch {
      return false;
    }
  };
  await until("an answer, or its end", async () => !isRunning(itself) || (await isHealthy()));
  await ask(mute.socket, "POST", "/v1/rescan");
  expect(await isHealthy()).toBe(true);
  expect(await mute.end("SIGTERM")).toBe(0);
});

/** In a mount namespace of its own, without the file system of cgroups. */
const UNGROUPED = ["unshare", "--mount", "sh", "-c", 'umount -l -a -t cgroup2; exec "$@"', "sh"];

test.each([
  ["cgroups", []],
  ["no cgroups", UNGROUPED],
])("a supervisor without a descriptor left, and with %s, goes on when it has some again", async (_, through) => {
  const bob = await stage.account(through.length > 0 ? "carol" : "dave");
  const named = (name: string): string => `${bob.name}/${name}`;
  const crowded = stage.supervisor(bob.name, ["[runs_as]", bob.name], { through });
  // It is known by its limit where that takes looks at processes; one of them outlives the main one, which is killed.
  const outlive = "start = (trap '' TERM; while :; do sleep 0.1; done) & exec sleep 1000";
  bob.writeConf("pair", outlive, "memory = 64M", "stop-timeout = 0.1");
  bob.writeConf("idle", lineServer(bob)("3"), "listen = http", "ondemand = yes", "idle-timeout = 0.2");
  await crowded.start();
  const { pid: main } = await crowded.reaches(named("pair"), "running");
  const visit = askLine(`${crowded.fastcgiDir}/${bob.name}/idle.sock`, `wait ${bob.home}/enough`);
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
  expect((await visit).pid).toBe(busy);
  await crowded.rescan();
  expect((await crowded.status(named("later"))).state).toBe("stopped");
  await crowded.reaches(named("idle"), "asleep");
  expect(await crowded.end("SIGTERM")).toBe(0);
});
