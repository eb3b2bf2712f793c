/** Connections of the control API over real sockets: requests that are not complete in time (docs/explanation/security.md#14), answers. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Health } from "@dmhost/contract";
import { afterEach, expect, test } from "vitest";
import { attachCaller } from "./connection.ts";
import type { Engine } from "./engine.ts";
import { createApi } from "./server.ts";
import type { Surroundings } from "./surroundings.ts";

const HEALTH: Health = { version: "0", pid: 1, uptime: 0, containment: "cgroup" };
const REQUEST = "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** A client of an API with this request timeout in ms, and the text that it has received so far. */
const client = async (
  longestRequest: number,
  health: () => unknown = () => HEALTH,
  answered: () => void = () => undefined,
) => {
  const api = await createApi({ stopping: false } as Engine, { health, answered } as unknown as Surroundings);
  const directory = mkdtempSync(join(tmpdir(), "deadline-"));
  const server = createServer((socket) => {
    attachCaller(socket, { uid: 1000, user: "alice" }, longestRequest);
    api.server.emit("connection", socket);
  });
  const path = join(directory, "socket");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const socket: Socket = connect(path);
  ends.push(
    () => rmSync(directory, { recursive: true }),
    () => server.close(),
    () => socket.destroy(),
  );
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  // A client that is cut off while it sends gets an error.
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  return { socket, closed, text: () => text };
};

test.each([
  ["nothing", ""],
  ["half a head", REQUEST.slice(0, 20)],
  [
    "half a body",
    "POST /v1/rescan HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
  ],
])("a connection that sends %s is closed at the request timeout without an answer", async (_, part) => {
  const { socket, closed, text } = await client(50);
  socket.write(part);
  await closed;
  expect(text()).toBe("");
});

test("a request that arrives byte by byte does not postpone the request timeout", async () => {
  const { socket, closed, text } = await client(100);
  const drops = setInterval(() => socket.write("X-Drop: 1\r\n"), 10);
  socket.write("GET /v1/health HTTP/1.1\r\n");
  await closed;
  clearInterval(drops);
  expect(text()).toBe("");
});

test("an answer may take longer than the request timeout, and the next request has a timeout", async () => {
  const deadline = 1000;
  const { socket, closed, text } = await client(deadline, async () => {
    await sleep(deadline + 200);
    return HEALTH;
  });
  socket.write(REQUEST);
  await closed;
  expect(text()).toMatch(/^HTTP\/1.1 200 /);
});

test("records are written before an answer is sent, so that it is true after kill -9", async () => {
  let written = "";
  const { socket, text } = await client(
    1000,
    () => HEALTH,
    () => {
      written += `written, and ${text() === "" ? "nothing" : "something"} sent`;
    },
  );
  socket.write(REQUEST);
  await once(socket, "data");
  expect(written).toBe("written, and nothing sent");
});
