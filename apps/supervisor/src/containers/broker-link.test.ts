import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { BrokerContainer, BrokerEvent, BrokerRequest } from "@dmhost/broker-contract";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BrokerLink } from "./broker-link.ts";

const ENGINE = { engine: "Docker 20.10", cgroupDriver: "cgroupfs", cgroupVersion: 2 };

let directory: string;
let path: string;
let server: Server | undefined;
let link: BrokerLink;
let problems: string[];
let lists: (readonly BrokerContainer[])[];
let events: BrokerEvent["event"][];
/** Requests besides hello and list, and the connection of the latest. */
let requests: BrokerRequest[];
let connection: Socket;
/** Why hello is refused. */
let objection: string | undefined;

const send = (message: object): void => void connection.write(`${JSON.stringify(message)}\n`);

const serve = async (): Promise<void> => {
  server = createServer((socket) => {
    connection = socket;
    socket.on("error", () => undefined);
    const lines = createInterface(socket);
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const request = JSON.parse(line) as BrokerRequest;
      const { id, verb } = request;
      if (verb === "hello" && objection !== undefined) send({ id, error: { code: "engine", reason: objection } });
      else if (verb === "hello") send({ id, result: ENGINE });
      else if (verb === "list") send({ id, result: { containers: [] } });
      else requests.push(request);
    });
  });
  server.listen(path);
  await once(server, "listening");
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "broker-link-"));
  path = join(directory, "broker.sock");
  [problems, lists, events, requests, objection] = [[], [], [], [], undefined];
  link = new BrokerLink(path, (problem) => problems.push(problem));
});
afterEach(() => {
  link.close();
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true });
});

const start = (): void =>
  link.start({ connected: (containers) => lists.push(containers), event: (event) => events.push(event) });
/** Requests a pull; what becomes of it. */
const pull = () => {
  const fate: { answered: number; failed: string[]; percent: number[] } = { answered: 0, failed: [], percent: [] };
  link.request(
    "pull",
    { owner: "amy", name: "blog" },
    () => {
      fate.answered += 1;
    },
    (reason) => fate.failed.push(reason),
    (percent) => fate.percent.push(percent),
  );
  return fate;
};
/** Waits as long as a slow machine takes. */
const soon = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 30_000 });
const received = (count: number): Promise<void> => soon(() => expect(requests).toHaveLength(count));

test("a request waits for the broker, which is greeted first and lists its containers", async () => {
  start();
  const fate = pull();
  await soon(() => expect(problems).toHaveLength(1));
  expect(problems[0]).toContain("ENOENT");
  await serve();
  await received(1);
  expect([link.engine, lists]).toEqual([ENGINE, [[]]]);
  const [{ id } = { id: 0 }] = requests;
  send({ id, progress: { percent: 42 } });
  send({ id, result: {} });
  await soon(() => expect(fate).toEqual({ answered: 1, failed: [], percent: [42] }));
});

test("an error is the reason, and events come without a request", async () => {
  await serve();
  start();
  const fate = pull();
  await received(1);
  send({ id: requests[0]?.id, error: { code: "refused", reason: "[images] does not grant it" } });
  send({ event: { kind: "engine", reachable: false } });
  await soon(() => expect(events).toEqual([{ kind: "engine", reachable: false }]));
  expect(fate.failed).toEqual(["[images] does not grant it"]);
});

test("what was sent fails with the connection, and later requests reach the next one", async () => {
  await serve();
  start();
  const [first] = [pull()];
  await received(1);
  connection.destroy();
  await soon(() => expect(first.failed).toHaveLength(1));
  expect(first.failed[0]).toBe(`the broker at ${path} cannot be used: it has closed the connection`);
  const second = pull();
  await received(2);
  send({ id: requests[1]?.id, result: {} });
  await soon(() => expect(second.answered).toBe(1));
  expect(problems).toEqual(["it has closed the connection"]);
});

test("an engine that is refused is reported once, and is why requests fail", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  objection = "the engine maps users";
  await serve();
  start();
  const fate = pull();
  while (fate.failed.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(100);
  }
  vi.useRealTimers();
  expect(fate.failed).toEqual([`the broker at ${path} cannot be used: the engine maps users`]);
  expect(problems).toEqual(["the engine maps users"]);
  expect(requests).toEqual([]);
});

test("a line that is no JSON ends the connection, and another one is made", async () => {
  await serve();
  start();
  pull();
  await received(1);
  connection.write("what\n");
  await soon(() => expect(lists).toHaveLength(2));
  expect(problems[0]).toMatch(/JSON/);
});
