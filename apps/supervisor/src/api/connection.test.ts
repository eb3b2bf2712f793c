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
import { createApi, type Surroundings } from "./server.ts";

const HEALTH: Health = { version: "0", pid: 1, uptime: 0, containment: "cgroup", shim: "current", problem: "" };
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
  engine: Pick<Engine, "stopping"> = { stopping: false },
) => {
  const api = await createApi(engine as Engine, { health, answered } as unknown as Surroundings);
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
  return { socket, closed, text: () => text, close: () => api.close() };
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

const BODY = (type: string, text: string): string =>
  `Content-Type: ${type}\r\nContent-Length: ${text.length}\r\nConnection: close\r\n\r\n${text}`;

/** Requests that Node or Fastify would answer by themselves. */
test.each([
  ["is no HTTP", 400, "garbage\r\n\r\n"],
  ["has a length that is no number", 400, "POST /v1/rescan HTTP/1.1\r\nContent-Length: x\r\n\r\n"],
  ["has two lengths", 400, "POST /v1/rescan HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"],
  ["has an unknown method", 400, "BREW /v1/health HTTP/1.1\r\n\r\n"],
  ["has a header of 20 kB", 431, `GET /v1/health HTTP/1.1\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`],
  ["has a body of XML", 415, `POST /v1/rescan HTTP/1.1\r\n${BODY("application/xml", "<a/>")}`],
  ["has a body of an unreadable type", 415, `POST /v1/rescan HTTP/1.1\r\n${BODY(";", "{}")}`],
  [
    "has a body that its endpoint does not take",
    400,
    `POST /v1/rescan HTTP/1.1\r\n${BODY("application/json", '{"a":1}')}`,
  ],
])("a request that %s is answered %i with the code usage, and the connection is closed", async (_, status, request) => {
  const { socket, closed, text } = await client(10_000);
  socket.write(request);
  await closed;
  const [head = "", body = ""] = text().split("\r\n\r\n");
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(JSON.parse(body)).toEqual({ code: "usage", message: expect.any(String) });
});

test.each([
  ["without a host", "GET /v1/health HTTP/1.1\r\nConnection: close\r\n\r\n"],
  [
    "with an expectation that means nothing here",
    "GET /v1/health HTTP/1.1\r\nExpect: tea\r\nConnection: close\r\n\r\n",
  ],
])("a request %s is answered as any other", async (_, request) => {
  const { socket, closed, text } = await client(10_000);
  socket.write(request);
  await closed;
  expect(text()).toMatch(/^HTTP\/1.1 200 /);
});

test("text that is no HTTP behind a request ends the connection and adds nothing to the answer that has begun", async () => {
  let answer: ((health: Health) => void) | undefined;
  const { socket, closed, text } = await client(
    10_000,
    () =>
      new Promise((resolve) => {
        answer = resolve;
        socket.write("garbage\r\n\r\n");
      }),
  );
  socket.write(REQUEST);
  await closed;
  answer?.(HEALTH);
  expect(text()).toBe("");
});

test("a connection that is kept while the API closes is answered with the code stopping", async () => {
  const engine = { stopping: false };
  const { socket, closed, text, close } = await client(10_000, () => HEALTH, undefined, engine);
  socket.write(REQUEST);
  await once(socket, "data");
  engine.stopping = true;
  socket.write(REQUEST.slice(0, 10));
  await new Promise((resolve) => setImmediate(resolve));
  const ended = close();
  socket.write(REQUEST.slice(10));
  await closed;
  await ended;
  expect(text()).toMatch(/HTTP\/1.1 503 .*"code":"stopping"/s);
});
