/** Requests and crashes during a rolling restart, sleep, or the supervisor's own restart. */
import { rmSync } from "node:fs";
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

test("no process of the owner is left after every daemon of this file has stopped", async () => {
  for (const name of "efhn") await supervisor.act("stop", idOf(name)).catch(() => undefined);
  await until("every process of the owner to end", () => processesOf(alice.uid).length === 0);
});
