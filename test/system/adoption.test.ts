/** Daemons outlive their supervisor: the next one adopts them, and trusts only what it can check. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askForPage } from "./fastcgi-client.ts";
import { askLine, lineServer } from "./line-server.ts";
import { argumentsOf, childrenOf, inheritableOf, isRunning, processesOf, startTimeOf } from "./proc.ts";
import { CHECKOUT, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let page: string;
let innocent: ChildProcess;
let supervisor: Supervisor;
/** Path of the supervisor's program: a link, so that it can be replaced. */
let program: string;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  page = alice.write("page.php", "<?php echo getmypid();");
  program = join(stage.directory, "supervisor.ts");
  symlinkSync(join(CHECKOUT, "apps/supervisor/src/app/main.ts"), program);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name], {
    program: [join(CHECKOUT, "node_modules/.bin/node"), program],
  });
  alice.writeConf("site", "start = exec php-cgi -q", "listen = fastcgi", "export PHP_FCGI_MAX_REQUESTS = 0");
  alice.writeConf("counter", "start = i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done", "output = log");
  alice.writeConf("plain", "start = exec sleep 1000", "stop-timeout = 2s");
  alice.writeConf("family", "start = setsid sleep 1001 & exec sleep 1002");
  alice.writeConf("down", "start = exec sleep 1000");
  innocent = spawn("sleep", ["1000"], { stdio: "ignore" });
  await supervisor.start();
  for (const name of ["site", "counter", "plain", "family", "down"]) await supervisor.reaches(idOf(name), "running");
  await supervisor.act("stop", idOf("down"));
});
afterAll(async () => {
  innocent.kill("SIGKILL");
  await stage.remove();
});

const idOf = (name: string): string => `${alice.name}/${name}`;
const socket = (): string => `${supervisor.fastcgiDir}/${alice.name}/site.sock`;
const replaceProgram = (): void => {
  rmSync(program);
  symlinkSync(join(CHECKOUT, "apps/supervisor/src/app/main.ts"), program);
};
const pidOf = async (name: string): Promise<number> => (await supervisor.status(idOf(name))).pid;
const loggers = (): number[] => processesOf(alice.uid).filter((pid) => argumentsOf(pid)[0]?.endsWith("s6-log"));
const lines = (): number[] =>
  readFileSync(`${alice.home}/.daemon-manager/logs/counter/current`, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => Number(line.slice(26)));

test("daemons of a supervisor that is killed with SIGKILL go on, and the next supervisor adopts them", async () => {
  const names = ["site", "counter", "plain", "family"];
  const before = await Promise.all(names.map(pidOf));
  const [inode, logger] = [lstatSync(socket()).ino, loggers()];
  expect(logger).toHaveLength(1);
  expect(await supervisor.end("SIGKILL")).toBe("SIGKILL");

  expect(before.every(isRunning)).toBe(true);
  expect(await askForPage(socket(), page)).toBe(String(before[0]));
  const count = lines().length;
  await until("more lines in the log", () => lines().length > count);

  let going = true;
  const polling = (async () => {
    let answered = 0;
    for (; going; answered += 1) expect(await askForPage(socket(), page)).toBe(String(before[0]));
    return answered;
  })();
  await supervisor.start();
  going = false;
  expect(await polling).toBeGreaterThan(0);

  expect(await Promise.all(names.map(pidOf))).toEqual(before);
  for (const name of names)
    expect(await supervisor.status(idOf(name))).toMatchObject({ state: "running", respawns: 0 });
  expect((await supervisor.status(idOf("down"))).state).toBe("stopped");
  expect([lstatSync(socket()).ino, loggers()]).toEqual([inode, logger]);
  await until("five more lines in the log", () => lines().length > count + 5);
  expect(lines()).toEqual(Array.from(lines(), (_, index) => index));
});

test.each([
  [
    "another listening socket",
    'unlink "x"; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("x")); listen(S, 9)',
  ],
  ["a socket that does not listen", "socket(S, AF_UNIX, SOCK_STREAM, 0)"],
  ["a datagram socket", "socket(S, AF_UNIX, SOCK_DGRAM, 0)"],
  ["a TCP socket", "socket(S, AF_INET, SOCK_STREAM, 0); listen(S, 9)"],
])("a daemon that replaced descriptor 0 by %s neither has that published nor loses its own socket", async (_, make) => {
  const script = `${make}; POSIX::dup2(fileno(S), 0); open(F, q(>), q(swapped)); close F; sleep 1000`;
  const again = "rm swapped; exec php-cgi -q";
  const start = `cd; if [ -e swap ]; then rm swap; exec perl -MSocket -MPOSIX -e '${script}'; fi; ${again}`;
  alice.write("swap", "");
  alice.writeConf("swapper", `start = ${start}`, "listen = fastcgi", "export PHP_FCGI_MAX_REQUESTS = 0");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(idOf("swapper"), "running");
  await until("the daemon to have replaced its descriptor", () =>
    lstatSync(join(alice.home, "swapped"), { throwIfNoEntry: false }),
  );
  const published = `${supervisor.fastcgiDir}/${alice.name}/swapper.sock`;
  const { ino } = lstatSync(published);
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect([await pidOf("swapper"), lstatSync(published).ino]).toEqual([pid, ino]);
  const answer = askForPage(published, page);
  process.kill(pid, "SIGKILL");
  const next = await supervisor.reaches(idOf("swapper"), "running", pid);
  expect(await answer).toBe(String(next.pid));
  await supervisor.act("stop", idOf("swapper"));
  rmSync(join(alice.home, alice.conf("swapper")));
  await supervisor.rescan();
});

test("an adopted daemon is stopped with all its processes and respawned, and its socket is kept", async () => {
  const family = await pidOf("family");
  expect((await supervisor.act("stop", idOf("family"))).ok).toBe(true);
  expect(isRunning(family)).toBe(false);
  expect(processesOf(alice.uid).filter((pid) => argumentsOf(pid)[1] === "1001")).toEqual([]);
  const inode = lstatSync(socket()).ino;
  const pid = await pidOf("site");
  await askForPage(socket(), page);
  process.kill(pid, "SIGKILL");
  await until("exit of the process", () => !isRunning(pid));
  expect(await askForPage(socket(), page)).not.toBe(String(pid));
  expect(lstatSync(socket()).ino).toBe(inode);
});

test("a daemon that died while no supervisor ran is started again", async () => {
  const plain = await pidOf("plain");
  await supervisor.end("SIGKILL");
  process.kill(plain, "SIGKILL");
  await until("exit of the process", () => !isRunning(plain));
  await supervisor.start();
  await supervisor.reaches(idOf("plain"), "running", plain);
});

test("while no supervisor runs, clients of a sleeping site, and of one whose php-cgi has left, wait until the next one", async () => {
  const php = ["start = exec php-cgi -q", "listen = fastcgi"];
  alice.writeConf("asleep", ...php, "ondemand = yes");
  alice.writeConf("leaver", ...php, "export PHP_FCGI_MAX_REQUESTS = 3");
  await supervisor.rescan();
  await supervisor.reaches(idOf("asleep"), "asleep");
  const { pid } = await supervisor.reaches(idOf("leaver"), "running");
  const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
  await supervisor.end("SIGKILL");
  for (let request = 0; request < 3; request += 1) expect(await askForPage(socketOf("leaver"), page)).toBe(String(pid));
  // The shim launches one more by itself.
  const next = Number(await askForPage(socketOf("leaver"), page));
  for (let request = 0; request < 2; request += 1)
    expect(await askForPage(socketOf("leaver"), page)).toBe(String(next));
  await until("exit of php-cgi after its requests", () => !isRunning(pid) && !isRunning(next));
  let settled = 0;
  const waiting = [...Array<string>(8).fill("leaver"), ...Array<string>(4).fill("asleep")].map((name) =>
    askForPage(socketOf(name), page).finally(() => {
      settled += 1;
    }),
  );
  const answers = Promise.all(waiting);
  await Promise.race([answers, sleep(500)]);
  expect(settled).toBe(0);
  await supervisor.start();
  const served = new Set(await answers);
  expect(served).toContain(String((await supervisor.reaches(idOf("asleep"), "running")).pid));
  for (const former of [pid, next]) expect(served).not.toContain(String(former));
  const exits = supervisor.log().filter(({ daemon, event }) => daemon === idOf("leaver") && event === "exited");
  expect(exits.slice(0, 2).map(({ reason }) => reason)).toEqual(["exited with code 0", "exited with code 0"]);
  for (const name of ["asleep", "leaver"]) rmSync(join(alice.home, alice.conf(name)));
  await supervisor.rescan();
});

test("a daemon whose conf file was removed while no supervisor ran is killed", async () => {
  await supervisor.up(idOf("down"));
  const stray = await pidOf("down");
  await supervisor.end("SIGKILL");
  await alice.run(["rm", `${alice.home}/${alice.conf("down")}`]);
  await supervisor.start();
  await until("exit of the stray process", () => !isRunning(stray));
  expect((await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("down"))}`)).status).toBe(404);
  const records = readdirSync(join(supervisor.stateDir, "daemons", alice.name));
  expect(records.filter((name) => name.startsWith("down."))).toEqual([]);
});

/** The record with another value and a digest that fits it. */
const withValue = (record: object, value: unknown) => {
  const digest = createHash("sha256").update(JSON.stringify(value)).digest("base64");
  return { ...record, value, digest };
};

test("a record that names an innocent process harms neither that nor the daemon", async () => {
  const names = ["plain", "site", "counter"];
  const before = await Promise.all(names.map(pidOf));
  const pid = innocent.pid ?? 0;
  // The digest is valid: only the start time shows that this is another process.
  const other = { pid, startTime: startTimeOf(pid) - 1 };
  await supervisor.end("SIGKILL");
  for (const name of names) {
    const file = `${supervisor.stateDir}/daemons/${alice.name}/${name}.json`;
    const record = JSON.parse(readFileSync(file, "utf8")) as { value: object };
    writeFileSync(
      file,
      JSON.stringify(withValue(record, { ...record.value, run: { leader: other }, log: { logger: other } })),
    );
  }
  await supervisor.start();
  expect(await Promise.all(names.map(pidOf))).toEqual(before);
  expect(await askForPage(socket(), page)).toBe(String(before[1]));
  expect(isRunning(pid)).toBe(true);
});

test("SIGHUP re-executes a supervisor whose program on disk changed; daemons, sockets, clients and logs are unaffected", async () => {
  const names = ["site", "counter", "plain"];
  for (const name of names) await supervisor.up(idOf(name));
  const before = await Promise.all(names.map(pidOf));
  const { pid } = supervisor;
  const inode = lstatSync(socket()).ino;
  const replace = async (): Promise<void> => {
    replaceProgram();
    const ready = supervisor.log().filter(({ msg }) => msg === "ready").length;
    supervisor.signal("SIGHUP");
    await until(
      "the re-executed supervisor to be ready",
      () => supervisor.log().filter(({ msg }) => msg === "ready").length > ready,
    );
  };
  await replace();
  expect(supervisor.pid).toBe(pid);
  expect(isRunning(pid)).toBe(true);
  expect(await Promise.all(names.map(pidOf))).toEqual(before);
  expect(lstatSync(socket()).ino).toBe(inode);
  expect(await askForPage(socket(), page)).toBe(String(before[0]));

  // A client that connected before the re-exec, while the process was held by SIGSTOP, is answered afterwards.
  process.kill(before[0] ?? 0, "SIGSTOP");
  const patient = askForPage(socket(), page);
  await replace();
  process.kill(before[0] ?? 0, "SIGCONT");
  expect(await patient).toBe(String(before[0]));

  // Their exits are still reported with code and signal.
  process.kill(before[2] ?? 0, "SIGKILL");
  await supervisor.reaches(idOf("plain"), "running", before[2]);
  const ended = supervisor.log().filter(({ daemon, event }) => daemon === idOf("plain") && event === "exited");
  expect(ended.at(-1)?.reason).toBe("killed by SIGKILL");
  const zombies = childrenOf(pid).filter((child) => !isRunning(child));
  expect(zombies).toEqual([]);
});

test("a supervisor that cannot re-execute its program goes on with all its daemons", async () => {
  const dave = await stage.account("dave");
  const node = join(stage.directory, "node");
  copyFileSync(join(CHECKOUT, "node_modules/.bin/node"), node);
  const kept = stage.supervisor("kept", [`nginx-group = ${nameFor("web")}`, "[runs_as]", dave.name], {
    program: [node, program],
    // Its log.
    env: { DMHOST_READY_FD: "20" },
  });
  dave.writeConf("one", lineServer(dave)("3"), "listen = http");
  dave.writeConf("two", "start = exec sleep 1000");
  const named = (name: string): string => `${dave.name}/${name}`;
  const path = `${kept.fastcgiDir}/${dave.name}/one.sock`;
  await kept.start();
  const reported = () =>
    kept
      .text()
      .split("\n")
      .filter((line) => line === "").length;
  await until("the report of readiness", () => reported() === 2);
  const served = await askLine(path);
  const { pid: two } = await kept.reaches(named("two"), "running");
  replaceProgram();
  renameSync(node, `${node}~`);
  for (let round = 1; round <= 8; round += 1) {
    kept.signal("SIGHUP");
    const lines = () => kept.log().filter(({ msg }) => msg.startsWith("cannot re-execute"));
    await until("the failure in the log", () => lines().length === round);
  }
  expect(await askLine(path)).toEqual(served);
  expect((await kept.status(named("two"))).pid).toBe(two);
  expect(inheritableOf(kept.pid).length).toBeLessThanOrEqual(3);
  process.kill(served.pid, "SIGKILL");
  await kept.reaches(named("one"), "running", served.pid);
  expect((await askLine(path)).pid).toBe((await kept.status(named("one"))).pid);
  renameSync(`${node}~`, node);
  const before = await kept.status(named("one"));
  kept.signal("SIGHUP");
  await until(
    "the re-executed supervisor to be ready",
    () => kept.log().filter(({ msg }) => msg === "ready").length === 2,
  );
  expect((await kept.status(named("one"))).pid).toBe(before.pid);
  expect((await askLine(path)).pid).toBe(before.pid);
  expect((await kept.status(named("two"))).pid).toBe(two);
  // Nor does it use a descriptor that the program before it has closed.
  expect(reported()).toBe(2);
  expect(await kept.end("SIGTERM")).toBe(0);
});

test("a re-exec keeps more sockets than one environment string can name", async () => {
  const owners = await Promise.all(["e", "f", "g", "h", "i"].map((short) => stage.account(short)));
  const many = stage.supervisor(
    "many",
    [`nginx-group = ${nameFor("web")}`, "[runs_as]", ...owners.map(({ name }) => name)],
    {
      program: [join(CHECKOUT, "node_modules/.bin/node"), program],
    },
  );
  for (const owner of owners) {
    const longest = 106 - `${many.fastcgiDir}/${owner.name}/.sock`.length;
    for (let number = 0; number < 240; number += 1) {
      owner.writeConf(`n${number}`.padEnd(longest, "x"), "start = exec sleep 1000", "listen = http", "ondemand = yes");
    }
  }
  await many.start();
  const paths = () =>
    owners.flatMap(({ name }) => {
      const directory = `${many.fastcgiDir}/${name}`;
      return readdirSync(directory).map((file) => join(directory, file));
    });
  const inodes = () => paths().map((path) => lstatSync(path).ino);
  expect(JSON.stringify(paths().map((path) => [path, 1000])).length).toBeGreaterThan(128 * 1024);
  const before = inodes();
  replaceProgram();
  many.signal("SIGHUP");
  await until(
    "the re-executed supervisor to be ready",
    () => many.log().filter(({ msg }) => msg === "ready").length === 2,
  );
  expect(inodes()).toEqual(before);
  expect(await many.end("SIGTERM")).toBe(0);
});

test("SIGTERM stops the supervisor and all daemons, removes their sockets and exits with 0", async () => {
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(processesOf(alice.uid)).toEqual([]);
  for (const path of [socket(), supervisor.socket, `${supervisor.runDir}/users/${alice.name}/command.sock`]) {
    expect(lstatSync(path, { throwIfNoEntry: false })).toBeUndefined();
  }
  expect(supervisor.log().at(-1)?.msg).toBe("stopped");
});
