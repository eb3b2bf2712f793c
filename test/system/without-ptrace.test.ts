/** A supervisor without CAP_SYS_PTRACE, as in the container: after kill -9 the next one finds each socket in the shim. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askLine, lineServer } from "./line-server.ts";
import { statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;
let web: number;

beforeAll(async () => {
  stage = await Stage.make();
  web = await stage.group("web");
  alice = await stage.account("alice");
  const through = ["setpriv", "--bounding-set", "-sys_ptrace"];
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name], { through });
  await supervisor.start();
});
afterAll(() => stage.remove());

/** Checks all the time whether the web server may connect to each path; prints how often not at the end of its input. */
const WATCH = String.raw`use strict; use Fcntl;
fcntl(STDIN, F_SETFL, O_NONBLOCK); $| = 1; print "up\n";
my $shut = 0;
until (defined(my $read = sysread(STDIN, my $text, 1))) { for (@ARGV) { $shut++ unless -w $_; } }
print "$shut\n";
`;

/** Returns how often the web server could not connect to the sockets during `work`. */
const shutDuring = async (paths: readonly string[], work: () => Promise<unknown>): Promise<number> => {
  const become = ["--reuid", "65534", "--regid", String(web), "--clear-groups"];
  const watcher = spawn("setpriv", [...become, "perl", "-e", WATCH, ...paths], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  watcher.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    await until("the watcher to be ready", () => output.includes("up\n"));
    await work();
    watcher.stdin.end();
    await once(watcher.stdout, "end");
  } finally {
    watcher.kill("SIGKILL");
  }
  return Number(output.split("\n")[1]);
};

test("after kill -9 the web server can connect to each socket at every moment, and each process and request goes on", async () => {
  const serve = lineServer(alice);
  const names = ["one", "two", "three"];
  const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
  alice.writeConf("one", serve("3"), "listen = systemd", "ready-after = 0.1");
  alice.writeConf("two", serve("3"), "listen = systemd", "ready-after = 0.1", "instances = 2");
  alice.writeConf("three", serve("3"), "listen = systemd", "rolling = no");
  await supervisor.rescan();
  for (const name of names) await supervisor.reaches(`${alice.name}/${name}`, "running");
  const runs = async (): Promise<number[][]> =>
    Promise.all(
      names.map(async (name) =>
        (await supervisor.status(`${alice.name}/${name}`)).instances.map(({ pid }) => pid).sort((a, b) => a - b),
      ),
    );
  const before = await runs();
  const { pid } = await askLine(socketOf("one"));
  const slow = askLine(socketOf("one"), `wait ${alice.home}/go`);
  const shut = await shutDuring(names.map(socketOf), async () => {
    for (let round = 0; round < 3; round += 1) {
      await supervisor.end("SIGKILL");
      await supervisor.start();
      for (const name of names.slice(1)) expect((await askLine(socketOf(name))).word).toBe("old");
      expect(await runs()).toEqual(before);
    }
  });
  expect(shut).toBe(0);
  alice.write("go", "");
  expect((await slow).pid).toBe(pid);
  expect((await askLine(socketOf("one"))).pid).toBe(pid);
});

test.each(["rolling = yes", "rolling = no"])(
  "after kill -9 a run by once goes on serving and is not repeated (%s)",
  async (rolling) => {
    const id = `${alice.name}/single`;
    const path = `${supervisor.fastcgiDir}/${alice.name}/single.sock`;
    alice.writeConf("single", lineServer(alice)("3"), "listen = systemd", "autostart = no", rolling);
    await supervisor.rescan();
    const { daemon } = await supervisor.act("once", id);
    for (let round = 0; round < 2; round += 1) {
      await supervisor.end("SIGKILL");
      await supervisor.start();
      expect((await askLine(path)).pid).toBe(daemon.pid);
      const { pid, instances } = await supervisor.status(id);
      expect([pid, instances.length]).toEqual([daemon.pid, 1]);
    }
    process.kill(daemon.pid, "SIGKILL");
    await supervisor.reaches(id, "stopped");
    const next = await supervisor.up(id);
    expect((await askLine(path)).pid).toBe(next.pid);
    await supervisor.act("stop", id);
    await supervisor.act("once", id);
    await supervisor.end("SIGKILL");
    await supervisor.start();
    rmSync(join(alice.home, alice.conf("single")));
    await supervisor.rescan();
    await supervisor.act("stop", id);
    await until("the socket to be removed", () => !existsSync(path));
  },
);

test.each(["rolling = yes", "rolling = no"])(
  "after kill -9 a paused daemon stays paused, and serves its waiting client when it is continued (%s)",
  async (rolling) => {
    const id = `${alice.name}/held`;
    const path = `${supervisor.fastcgiDir}/${alice.name}/held.sock`;
    alice.writeConf("held", lineServer(alice)("3"), "listen = systemd", "autostart = no", rolling);
    await supervisor.rescan();
    const { pid } = await supervisor.up(id);
    await supervisor.act("pause", id);
    const patient = askLine(path);
    await supervisor.end("SIGKILL");
    await supervisor.start();
    const { state, instances } = await supervisor.status(id);
    expect([state, instances.map((each) => each.pid)]).toEqual(["paused", [pid]]);
    expect(statusOf(pid).get("State")).toMatch(/^T/);
    expect(await supervisor.act("continue", id)).toMatchObject({ ok: true });
    expect((await patient).pid).toBe(pid);
    expect((await askLine(path)).pid).toBe(pid);
    expect(await supervisor.act("restart", id)).toMatchObject({ ok: true });
    expect((await askLine(path)).pid).not.toBe(pid);
    await supervisor.act("stop", id);
  },
);
