/** The control API from outside: hostile clients (docs/explanation/security.md#13), identity by SO_PEERCRED, and changes. */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import type { ConfFile } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { ask } from "./control-api.ts";
import { Follower } from "./follower.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

const MOST_CONNECTIONS = 32;

let stage: Stage;
let toolbox: Toolbox;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;
let one: string;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  for (const account of [alice, bob]) account.writeConf("one", "start = exec sleep 1000");
  await supervisor.start();
  await supervisor.reaches(`${alice.name}/one`, "running");
  one = `/v1/daemons/${encodeURIComponent(`${alice.name}/one`)}`;
});
afterAll(() => stage.remove());

test.each<[string, string, unknown]>([
  ["GET", "/", undefined],
  ["GET", "/v1/nothing", undefined],
  ["DELETE", "ONE", undefined],
  ["POST", "ONE/destroy", undefined],
  ["POST", "ONE/kill", {}],
  ["POST", "ONE/kill", { signal: "0" }],
  ["POST", "ONE/kill", { signal: 9 }],
  ["POST", "ONE/kill", { signal: "KILL", pid: 1 }],
  ["POST", "ONE/kill", '{"signal":"KILL","__proto__":{"x":1}}'],
  ["POST", "ONE/kill", "not JSON"],
  ["PUT", "ONE/file", { text: "start = true", fingerprint: "", owner: "root" }],
  ["PUT", "ONE/file", { text: "start = true" }],
  ["PUT", "ONE/file", {}],
  ["GET", "ONE?verbose=1", undefined],
  ["GET", "ONE/log?lines=-1", undefined],
  ["GET", "ONE/log?lines=1e9", undefined],
  ["GET", "ONE/log?follow=maybe", undefined],
  ["GET", "/v1/daemons/%2e%2e", undefined],
  ["GET", "/v1/daemons/%2e%2e%2f%2e%2e%2fetc%2fpasswd", undefined],
  ["GET", "/v1/daemons/a%00b", undefined],
  ["GET", "/v1/daemons/a%2Fb%2Fc", undefined],
  ["GET", "/v1/daemons/%ff", undefined],
  ["GET", "/v1/daemons/__proto__", undefined],
])("the API refuses %s %s with body %j as wrong usage", async (method, path, body) => {
  const answer = await supervisor.ask(method, path.replace("ONE", one), body);
  expect(answer).toEqual({ status: 400, body: { code: "usage", message: expect.any(String) } });
});

test.each(["constructor", "toString", "hasOwnProperty", "valueOf"])(
  "the API answers 404 for a daemon called %s",
  async (name) => {
    const answer = await supervisor.ask("GET", `/v1/daemons/${name}`);
    expect(answer).toEqual({ status: 404, body: { code: "not-found", message: expect.stringContaining(name) } });
  },
);

test("the API refuses a body that is too long (413), and a conf file that is too long (422)", async () => {
  const { fingerprint } = (await supervisor.ask("GET", `${one}/file`)).body as ConfFile;
  const long = await supervisor.ask("PUT", `${one}/file`, { text: "#".repeat(192 * 1024), fingerprint });
  expect([long.status, long.body]).toEqual([413, { code: "usage", message: expect.any(String) }]);
  const text = `start = exec sleep 1000\n${"#".repeat(70 * 1024)}`;
  const longer = await supervisor.ask("PUT", `${one}/file`, { text, fingerprint });
  expect([longer.status, longer.body]).toEqual([422, expect.objectContaining({ code: "invalid-file" })]);
});

test("a request for a state that a daemon already has reports that nothing changed", async () => {
  const id = `${alice.name}/twice`;
  alice.writeConf("twice", "start = exec sleep 1000", "listen = systemd", "autostart = no");
  await supervisor.rescan();
  for (const verb of ["start", "pause", "continue", "stop"] as const) {
    const outcomes = [await supervisor.act(verb, id), await supervisor.act(verb, id)];
    expect([verb, ...outcomes.map(({ ok, changed }) => [ok, changed])]).toEqual([verb, [true, true], [true, false]]);
  }
  expect(await supervisor.act("once", id)).toMatchObject({ ok: true, changed: true });
  expect(await supervisor.act("once", id)).toMatchObject({ ok: true, changed: false });
  expect(await supervisor.act("start", id)).toMatchObject({ ok: true, changed: true });
  expect(await supervisor.scale(id, 2)).toMatchObject({ ok: true, changed: true });
  expect(await supervisor.scale(id, 2)).toMatchObject({ ok: true, changed: false });
  expect(await supervisor.act("restart", id)).toMatchObject({ ok: true, changed: true });
  expect(await supervisor.act("exit", id)).toMatchObject({ ok: true, changed: true });
});

test("a uid may have 32 connections to the API, more are answered 429, and closing them makes room for new ones", async () => {
  const held: Socket[] = [];
  let closed = 0;
  let received = "";
  for (let index = 0; index < MOST_CONNECTIONS + 8; index += 1) {
    const socket = createConnection(supervisor.socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received += chunk;
    });
    socket.on("close", () => {
      closed += 1;
    });
    held.push(socket);
    await once(socket, "connect");
  }
  await until("the excess connections to be closed", () => closed === 8);
  expect(received.match(/HTTP\/1\.1 429 .*?"code":"busy"/gs)).toHaveLength(8);
  const others = await bob.run([toolbox.node, toolbox.dmctl, "list"]);
  expect([others.code, others.stdout]).toEqual([0, `${bob.name}/one\n`]);
  for (const socket of held) socket.destroy();
  await until("a new connection to be accepted", async () => {
    try {
      return (await ask(supervisor.socket, "GET", "/v1/health")).status === 200;
    } catch {
      return false;
    }
  });
});

test("the API identifies a caller by its uid, not by the path of the socket", async () => {
  const listAt = (account: Account, socket: string) =>
    account.run([toolbox.node, toolbox.dmctl, "list"], { env: { DMCTL_SOCKET: socket } });
  const socketOf = (account: Account): string => `${supervisor.runDir}/users/${account.name}/command.sock`;
  const foreign = await listAt(bob, socketOf(alice));
  expect([foreign.code, foreign.stderr]).toEqual([3, expect.stringContaining("permission denied")]);
  expect((await listAt(bob, supervisor.socket)).stdout).toBe(`${bob.name}/one\n`);
  expect((await listAt(alice, supervisor.socket)).stdout).toBe(`${alice.name}/one\n`);
  const asRoot = await ask(socketOf(alice), "GET", "/v1/daemons");
  expect(JSON.stringify(asRoot.body)).toContain(`${bob.name}/one`);
  expect((await bob.run(["sh", "-c", `rm -f ${socketOf(bob)} ${supervisor.socket}`])).code).not.toBe(0);
});

test("dmctl does not talk to another account's socket to which the user's link points", async () => {
  const link = `${alice.home}/.daemon-manager/command.sock`;
  const trap = `${bob.home}/trap.sock`;
  await bob.run(["chmod", "755", bob.home]);
  const program = `require("net").createServer(() => process.exit(7)).listen(${JSON.stringify(trap)})`;
  const server = new Follower([...bob.become, toolbox.node, "-e", program], bob.environment);
  await until("the other account's socket", async () => (await alice.run(["test", "-S", trap])).code === 0);
  await alice.run(["ln", "-sfn", trap, link]);
  const { code, stderr } = await alice.run([toolbox.node, toolbox.dmctl, "list"]);
  expect([code, stderr]).toEqual([3, expect.stringContaining("will not connect to")]);
  // The server exits at a connection; it is still running, so nobody connected.
  expect(await server.interrupt()).toBeNull();
});
