/** Requests and crashes during a rolling restart, sleep, or the supervisor's own restart. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DaemonStatus, Outcome } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, nameFor } from "./account.ts";
import { askLine, lineServer, untilAccepted } from "./line-server.ts";
import { isRunning, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let serve: ReturnType<typeof lineServer>;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  await stage.group("web");
  alice = await stage.account("alice");
  serve = lineServer(alice);
  supervisor = stage.supervisor("main", [`nginx-group = ${nameFor("web")}`, "[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const socketOf = (name: string): string => `${supervisor.fastcgiDir}/${alice.name}/${name}.sock`;
const pidsOf = ({ instances }: DaemonStatus): number[] => instances.map(({ pid }) => pid).filter((pid) => pid > 0);
/** Lines for a daemon that never becomes ready. */
const SLOW = ["listen = systemd", "ready = notify", "ready-timeout = 1h"];
const FAST = ["listen = systemd", "ready-after = 0.1"];

/** Makes a daemon and waits until it runs. */
const running = async (name: string, ...lines: string[]): Promise<DaemonStatus> => {
  alice.writeConf(name, ...lines);
  await supervisor.rescan();
  return supervisor.reaches(idOf(name), "running");
};
/** Waits until the daemon has this many processes. */
const has = (name: string, processes: number): Promise<DaemonStatus> =>
  until(`${processes} processes of ${name}`, async () => {
    const status = await supervisor.status(idOf(name));
    return pidsOf(status).length === processes && status.instances.length === processes && status;
  });
/** Starts a restart whose candidate never becomes ready. */
const hanging = async (
  name: string,
  processes: number,
): Promise<{ answer: Promise<Outcome>; status: DaemonStatus }> => {
  alice.writeConf(name, serve("3", "no", "new"), ...SLOW);
  const answer = supervisor.act("restart", idOf(name));
  return { answer, status: await has(name, processes) };
};

test("a start during a restart leaves both processes as they are", async () => {
  const { pid } = await running("a", serve("3"), ...FAST);
  const { answer, status } = await hanging("a", 2);
  expect(await supervisor.act("start", idOf("a"))).toMatchObject({ ok: true });
  expect(pidsOf(await supervisor.status(idOf("a")))).toEqual(pidsOf(status));
  await supervisor.act("stop", idOf("a"));
  expect((await answer).ok).toBe(false);
  expect(isRunning(pid)).toBe(false);
});

test("a second restart replaces the first, and both callers get its result", async () => {
  const { pid } = await running("b", serve("3"), ...FAST);
  const { answer } = await hanging("b", 2);
  alice.writeConf("b", serve("3", "no", "newest"), ...FAST);
  expect(await supervisor.act("restart", idOf("b"))).toMatchObject({ ok: true });
  expect(await answer).toMatchObject({ ok: true });
  expect((await askLine(socketOf("b"))).word).toBe("newest");
  expect(isRunning(pid)).toBe(false);
  await has("b", 1);
});

test("when a second restart fails too, the daemon goes on, respawns and scales as it was before the first", async () => {
  const { pid } = await running("c", serve("3"), ...FAST);
  const { answer } = await hanging("c", 2);
  alice.writeConf("c", "start = exit 9", ...FAST);
  const reason = expect.stringMatching(/exited with code 9/);
  expect(await supervisor.act("restart", idOf("c"))).toMatchObject({ ok: false, reason });
  expect(await answer).toMatchObject({ ok: false, reason });
  expect(pidsOf(await has("c", 1))).toEqual([pid]);
  process.kill(pid, "SIGKILL");
  await supervisor.reaches(idOf("c"), "running", pid);
  expect((await supervisor.scale(idOf("c"), 2)).ok).toBe(true);
  const seen = new Map<number, string>();
  await until("answers from both instances", async () => {
    for (const { pid, word } of await Promise.all([1, 2, 3, 4].map(() => askLine(socketOf("c"))))) seen.set(pid, word);
    return seen.size === 2;
  });
  expect([...seen.values()]).toEqual(["old", "old"]);
});

test("a restart with a higher instances= ends when all instances run", async () => {
  await running("d", serve("3"), ...FAST);
  alice.writeConf("d", serve("3"), ...FAST, "instances = 3");
  const { ok, daemon } = await supervisor.act("restart", idOf("d"));
  expect([ok, daemon?.instances.map(({ state }) => state)]).toEqual([true, ["running", "running", "running"]]);
});

test("a candidate process that is paused does not become ready", async () => {
  const { pid } = await running("p", serve("3"), ...FAST);
  alice.writeConf("p", serve("3", "no", "new"), "listen = systemd", "ready-after = 1");
  const answer = supervisor.act("restart", idOf("p"));
  await until("two running instances", async () => {
    const { instances } = await supervisor.status(idOf("p"));
    return instances.length === 2 && instances.every(({ state }) => state === "running");
  });
  expect(await supervisor.act("pause", idOf("p"))).toMatchObject({ ok: true });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(isRunning(pid)).toBe(true);
  await supervisor.act("continue", idOf("p"));
  expect(await answer).toMatchObject({ ok: true });
});

test("a restart replaces a paused process without waiting for drain", async () => {
  const { pid } = await running("r", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1", "drain = 10m");
  await supervisor.act("pause", idOf("r"));
  expect(await supervisor.act("restart", idOf("r"))).toMatchObject({ ok: true });
  expect(isRunning(pid)).toBe(false);
});

test("limits that change during a restart stay in force when the restart fails", async () => {
  const { pid } = await running("s", serve("3"), ...FAST, "memory = 64M");
  const memory = async () => (await supervisor.status(idOf("s"))).limits.keys.map(({ value }) => value);
  alice.writeConf("s", serve("3", "no", "new"), ...SLOW, "memory = 64M");
  const answer = supervisor.act("restart", idOf("s"));
  const status = await has("s", 2);
  alice.writeConf("s", serve("3", "no", "new"), ...SLOW, "memory = 32M");
  await supervisor.rescan();
  expect(await memory()).toEqual(["32 MiB"]);
  process.kill(pidsOf(status).find((each) => each !== pid) ?? 0, "SIGKILL");
  expect((await answer).ok).toBe(false);
  expect([await memory(), pidsOf(await has("s", 1))]).toEqual([["32 MiB"], [pid]]);
});

test("when the supervisor is killed during a restart, the next one keeps the serving process and ends the candidate", async () => {
  await running("e", serve("3"), ...FAST);
  // After this restart the instance that stays has the higher number.
  const { daemon } = await supervisor.act("restart", idOf("e"));
  const pid = daemon?.pid ?? 0;
  const { answer, status } = await hanging("e", 2);
  const settled = answer.catch(() => "cut off");
  const candidate = pidsOf(status).find((each) => each !== pid) ?? 0;
  await supervisor.end("SIGKILL");
  await settled;
  await supervisor.start();
  await until("the candidate to be gone", () => !isRunning(candidate));
  expect(pidsOf(await has("e", 1))).toEqual([pid]);
  expect((await askLine(socketOf("e"))).pid).toBe(pid);
});

test.each([
  ["has a request in progress", false],
  ["is held by SIGSTOP with a request in progress", true],
])(
  "when the supervisor is killed while a draining process %s, the next one lets it finish and does not replace it",
  async (_, held) => {
    rmSync(join(alice.home, "f"), { force: true });
    const { pid } = await running("f", serve("3"), ...FAST, "drain = 1m");
    await askLine(socketOf("f"));
    const slow = askLine(socketOf("f"), `wait ${alice.home}/f`);
    await untilAccepted(pid);
    const restart = supervisor.act("restart", idOf("f")).catch(() => "cut off");
    await until("the old process to be draining", async () =>
      (await supervisor.status(idOf("f"))).instances.some((each) => each.pid === pid && each.state === "stopping"),
    );
    await supervisor.end("SIGKILL");
    expect(await restart).toBe("cut off");
    if (held) process.kill(pid, "SIGSTOP");
    await supervisor.start();
    alice.write("f", "");
    expect((await slow).pid).toBe(pid);
    await until("the old process to be gone", () => !isRunning(pid));
    await has("f", 1);
  },
);

test("a conf file that was changed or broken while no supervisor ran takes effect only at a restart", async () => {
  const { instances } = await running("g", serve("3"), ...FAST, "instances = 2");
  const pids = instances.map(({ pid }) => pid);
  for (const lines of [[serve("3"), ...FAST, "instances = 1"], ["start ="]]) {
    await supervisor.end("SIGKILL");
    alice.writeConf("g", ...lines);
    await supervisor.start();
    expect(pidsOf(await has("g", 2))).toEqual(pids);
    expect(pids.every(isRunning)).toBe(true);
  }
  alice.writeConf("g", serve("3"), ...FAST);
  await supervisor.act("restart", idOf("g"));
  await has("g", 1);
});

test("when the held socket is lost, the old process finishes its request while new processes serve a new socket", async () => {
  const { pid } = await running("h", serve("3"), ...FAST);
  await askLine(socketOf("h"));
  await supervisor.end("SIGKILL");
  const slow = askLine(socketOf("h"), `wait ${alice.home}/h`);
  await untilAccepted(pid);
  // Without its path, the next supervisor cannot take over the former socket.
  rmSync(socketOf("h"));
  await supervisor.start();
  expect((await askLine(socketOf("h"))).pid).not.toBe(pid);
  alice.write("h", "");
  expect((await slow).pid).toBe(pid);
  await until("the old process to be gone", () => !isRunning(pid));
  await has("h", 1);
});

test("a daemon whose conf file was removed while no supervisor ran is ended, and its socket and record are removed", async () => {
  const { pid } = await running("i", serve("3"), ...FAST);
  await supervisor.end("SIGKILL");
  rmSync(join(alice.home, ".daemon-manager/daemons/i.conf"));
  await supervisor.start();
  await until("the process to be gone", () => !isRunning(pid));
  expect(existsSync(socketOf("i"))).toBe(false);
  expect(readdirSync(join(supervisor.stateDir, "daemons", alice.name)).filter((name) => name.startsWith("i."))).toEqual(
    [],
  );
});

test("a restart of a daemon whose conf file is gone fails, and its process goes on", async () => {
  const { pid } = await running("j", serve("3"), ...FAST);
  rmSync(join(alice.home, ".daemon-manager/daemons/j.conf"));
  await supervisor.rescan();
  const reason = expect.stringMatching(/its file .*j\.conf is gone/);
  expect(await supervisor.act("restart", idOf("j"))).toMatchObject({ ok: false, reason });
  expect(isRunning(pid)).toBe(true);
  await supervisor.act("stop", idOf("j"));
});

test("an ondemand daemon that was stopped and started again is asleep and wakes for the next client", async () => {
  alice.writeConf("k", serve("3"), "listen = http", "ondemand = yes", "idle-timeout = 1h");
  await supervisor.rescan();
  await supervisor.reaches(idOf("k"), "asleep");
  for (let round = 0; round < 2; round += 1) {
    await supervisor.act("stop", idOf("k"));
    await supervisor.act("start", idOf("k"));
    expect((await supervisor.status(idOf("k"))).state).toBe("asleep");
    await askLine(socketOf("k"));
    await supervisor.reaches(idOf("k"), "running");
  }
});

test("a sleeping daemon starts when ondemand is removed from its conf file", async () => {
  alice.writeConf("l", serve("3"), "listen = http", "ondemand = yes");
  await supervisor.rescan();
  await supervisor.reaches(idOf("l"), "asleep");
  alice.writeConf("l", serve("3"), "listen = http");
  await supervisor.rescan();
  await supervisor.reaches(idOf("l"), "running");
});

test("an ondemand daemon that crashes goes back to sleep, and only the next client starts it again", async () => {
  alice.writeConf("m", serve("3"), "listen = http", "ondemand = yes", "idle-timeout = 1h");
  await supervisor.rescan();
  await supervisor.reaches(idOf("m"), "asleep");
  const { pid } = await askLine(socketOf("m"));
  process.kill(pid, "SIGKILL");
  expect(await supervisor.reaches(idOf("m"), "asleep")).toMatchObject({ respawns: 1 });
  expect((await askLine(socketOf("m"))).pid).not.toBe(pid);
});

test("a daemon does not go to sleep during a restart", async () => {
  const demand = ["listen = http", "ondemand = yes", "idle-timeout = 0.3"];
  alice.writeConf("q", serve("3"), ...demand);
  await supervisor.rescan();
  await supervisor.reaches(idOf("q"), "asleep");
  const request = askLine(socketOf("q"), `wait ${alice.home}/q`);
  await supervisor.reaches(idOf("q"), "running");
  alice.writeConf("q", serve("3", "no", "new"), ...demand, "ready = notify", "ready-timeout = 1h");
  const answer = supervisor.act("restart", idOf("q"));
  const { instances } = await has("q", 2);
  alice.write("q", "");
  const { pid } = await request;
  await new Promise((resolve) => setTimeout(resolve, 900));
  expect(instances.map((each) => each.pid)).toContain(pid);
  expect(isRunning(pid)).toBe(true);
  await supervisor.act("stop", idOf("q"));
  expect((await answer).ok).toBe(false);
});

test("a socket that a candidate binds is published when it is ready, and the old process serves until then and after a failure", async () => {
  const { pid } = await running("n", serve("$DM_SOCKET"), "listen = path", "ready-after = 0.1");
  await until("the published socket", async () => (await askLine(socketOf("n")).catch(() => undefined))?.pid === pid);
  // The program binds its socket and exits before ready-after has passed.
  const brief = `start = perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Local => $ENV{DM_SOCKET}, Listen => 9); sleep 1'; exit 5`;
  alice.writeConf("n", brief, "listen = path", "ready-after = 30");
  let going = true;
  const polling = (async () => {
    const pids = new Set<number>();
    while (going) pids.add((await askLine(socketOf("n"))).pid);
    return pids;
  })();
  const reason = expect.stringMatching(/exited with code 5/);
  expect(await supervisor.act("restart", idOf("n"))).toMatchObject({ ok: false, reason });
  going = false;
  expect([...(await polling)]).toEqual([pid]);

  alice.writeConf("n", "start = exec sleep 1000", "listen = path", "ready-after = 0.1", "ready-timeout = 0.3");
  expect(await supervisor.act("restart", idOf("n"))).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/did not bind its socket within 300ms/),
  });
  expect((await askLine(socketOf("n"))).pid).toBe(pid);

  // A supervisor that starts during the restart does not publish the candidate's socket either.
  alice.writeConf("n", brief.replace("sleep 1'", "sleep 1000'"), "listen = path", "ready-after = 1h");
  const cut = supervisor.act("restart", idOf("n")).catch(() => "cut off");
  await has("n", 2);
  await supervisor.end("SIGKILL");
  await cut;
  await supervisor.start();
  await has("n", 1);
  expect((await askLine(socketOf("n"))).pid).toBe(pid);
});

test("an owner's daemons may have 512 instances together, and a daemon beyond that is forbidden", async () => {
  const resting = ["start = exec sleep 1000", "listen = http", "ondemand = yes", "instances = 64"];
  const names = Array.from({ length: 9 }, (_, at) => `z${at}`);
  for (const name of names) alice.writeConf(name, ...resting);
  await supervisor.rescan();
  const refused = (await Promise.all(names.map((name) => supervisor.status(idOf(name))))).filter(
    ({ state }) => state === "forbidden",
  );
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]?.reason).toMatch(/may have 512 instances together, and the others have \d+/);
  expect(await supervisor.scale(idOf("k"), 64)).toMatchObject({ ok: false, reason: expect.stringMatching(/512/) });
  for (const name of names) rmSync(join(alice.home, `.daemon-manager/daemons/${name}.conf`));
  await supervisor.rescan();
});

test("no process of the owner is left after every daemon of this file has stopped", async () => {
  for (const name of "abcdefghijklmnpqrs") await supervisor.act("stop", idOf(name)).catch(() => undefined);
  await until("every process of the owner to end", () => processesOf(alice.uid).length === 0);
});
