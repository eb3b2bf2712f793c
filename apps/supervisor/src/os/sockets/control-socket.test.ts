/** The control sockets over real connections: how many an account may have (docs/explanation/security.md#14). */
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { clientAt, runtimeFetch } from "@dmhost/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { busyAnswer } from "../../api/connection.ts";
import { ControlSockets, MOST_CONNECTIONS } from "./control-socket.ts";

let directory: string;
let path: string;
let accepted: Socket[];
let sockets: ControlSockets;
const opened: Socket[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "control-"));
  path = join(directory, "run", "command.sock");
  accepted = [];
  sockets = new ControlSockets((socket) => accepted.push(socket), busyAnswer(MOST_CONNECTIONS));
  await sockets.open(path, undefined);
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of [...opened.splice(0), ...accepted]) socket.destroy();
  sockets.keep(new Set());
  rmSync(directory, { recursive: true });
});

const open = async (options: { readonly allowHalfOpen?: boolean } = {}): Promise<Socket> => {
  const socket = connect({ ...options, path });
  opened.push(socket);
  await once(socket, "connect");
  return socket;
};

/** Opens as many connections as an account may have. */
const fill = async (): Promise<void> => {
  for (let number = 0; number < MOST_CONNECTIONS; number += 1) await open();
};

/** All that a connection receives until it is closed. */
const received = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("close", resolve));
  return text;
};

test("a socket appears when its accounts may connect to it, and in place of a former one", async () => {
  const late = join(directory, "late", "command.sock");
  for (const former of [undefined, 0o666]) {
    const opening = new ControlSockets(() => undefined, "").open(late, undefined);
    const { mode } = statSync(late, { throwIfNoEntry: false }) ?? {};
    expect(mode && mode & 0o777).toBe(former);
    await opening;
    expect([statSync(late).mode & 0o777, readdirSync(join(directory, "late"))]).toEqual([0o666, ["command.sock"]]);
  }
});

test("a connection beyond the most that an account may have gets one complete HTTP answer 429 and is closed", async () => {
  await fill();
  const [head = "", body = ""] = (await received(await open())).split("\r\n\r\n");
  expect(head.split("\r\n")).toEqual([
    "HTTP/1.1 429 Too Many Requests",
    "content-type: application/json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ]);
  expect(JSON.parse(body)).toEqual({
    code: "busy",
    message: expect.stringContaining(`${MOST_CONNECTIONS} connections`),
  });
  expect(accepted).toHaveLength(MOST_CONNECTIONS);
});

test("the client reports an account's excess connection as busy, whether its request is short or long", async () => {
  await fill();
  const client = clientAt(path, runtimeFetch);
  const params = { address: "amy/blog" };
  for (let round = 0; round < 50; round += 1) {
    await expect(client.call("getHealth")).rejects.toMatchObject({ code: "busy" });
    const body = { text: "#".repeat(60_000), fingerprint: "" };
    await expect(client.call("writeFile", { params, body })).rejects.toMatchObject({ code: "busy" });
  }
});

test("32 excess connections that do not close are answered for 1 s, and more are closed without an answer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  await fill();
  for (let number = 0; number < MOST_CONNECTIONS; number += 1) await open({ allowHalfOpen: true });
  vi.advanceTimersByTime(999);
  expect(await received(await open())).toBe("");
  vi.advanceTimersByTime(1);
  await setImmediate();
  expect(await received(await open())).toContain("429");
});

test("an excess connection takes no place, and a closed one makes room", async () => {
  await fill();
  await received(await open());
  const closed = new Promise((resolve) => accepted[0]?.once("close", resolve).resume());
  opened[0]?.destroy();
  await closed;
  await open();
  await expect.poll(() => accepted.length).toBe(MOST_CONNECTIONS + 1);
});
