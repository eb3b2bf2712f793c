import type { BrokerResults } from "@dmhost/broker-contract";
import { BrokerEvent, BrokerFailure, BrokerProgress, BrokerSuccess } from "@dmhost/broker-contract/schemas";
import Value from "typebox/value";
import { beforeEach, expect, test } from "vitest";
import { ContainerRefusal } from "../rules/refusal.ts";
import { Requests } from "./requests.ts";
import { Lines } from "./supervisor-socket.ts";

const made: BrokerResults["make"] = {
  container: "c".repeat(64),
  command: [],
  environment: [],
  directory: "/",
  home: { path: "/home/alice", device: "1", inode: "2" },
};
let sent: unknown[];
let isOpen: boolean;
let discarded: string[];
let faults: unknown[];
let pulling: Promise<void>;
let requests: Requests;

const answers = {
  get isOpen() {
    return isOpen;
  },
  send: (message: unknown) => void sent.push(message),
  close: () => {
    isOpen = false;
  },
};
const take = (request: unknown) => requests.take(JSON.stringify(request), answers);

beforeEach(() => {
  sent = [];
  isOpen = true;
  discarded = [];
  faults = [];
  pulling = Promise.resolve();
  requests = new Requests(
    {
      hello: async () => ({ engine: "Docker 1", cgroupDriver: "cgroupfs", cgroupVersion: 2 }),
      pull: async (_request, report) => {
        report(42);
        await pulling;
        return {};
      },
      make: async () => made,
      remove: () => Promise.reject(new ContainerRefusal("foreign", "it is not ours")),
      list: () => Promise.reject(new Error("ENOSPC")),
      images: async () => ({ images: [] }),
      accept: async () => ({}),
      discard: async (container) => void discarded.push(container),
    },
    (error) => void faults.push(error),
  );
});

test("a request has one answer, and progress before it", async () => {
  await take({ id: 7, verb: "hello", version: 1 });
  await take({ id: 8, verb: "pull", owner: "alice", name: "web" });
  expect(sent).toEqual([
    { id: 7, result: { engine: "Docker 1", cgroupDriver: "cgroupfs", cgroupVersion: 2 } },
    { id: 8, progress: { percent: 42 } },
    { id: 8, result: {} },
  ]);
  expect(
    sent.map((message) => [BrokerSuccess, BrokerProgress].filter((schema) => Value.Check(schema, message)).length),
  ).toEqual([1, 1, 1]);
});

test("a refusal is answered with its code, and a fault is reported as well", async () => {
  await take({ id: 1, verb: "remove", container: "a".repeat(64) });
  await take({ id: 2, verb: "list" });
  expect(sent).toEqual([
    { id: 1, error: { code: "foreign", reason: "it is not ours" } },
    { id: 2, error: { code: "engine", reason: "ENOSPC" } },
  ]);
  expect(sent.every((message) => Value.Check(BrokerFailure, message))).toBe(true);
  expect(faults).toHaveLength(1);
});

const making = {
  id: 3,
  verb: "make",
  owner: "alice",
  name: "web",
  instance: 1,
  run: 1,
  guest: "g",
  token: "t".repeat(16),
};

test.each([
  { id: 3, verb: "exec" },
  { id: 3, verb: "toString" },
  { id: 3 },
  { ...making, privileged: true },
  { ...making, owner: "../root" },
  { ...making, name: "web/x" },
  { ...making, guest: "../.." },
  { ...making, guest: "a\n" },
  { ...making, token: "short" },
  { ...making, token: `${"t".repeat(16)}\n` },
  { ...making, instance: 0 },
  { ...making, run: 1.5 },
  { ...making, cgroup: "relative" },
  { id: 3, verb: "remove", container: "--all" },
  { id: 3, verb: "accept", image: "x".repeat(401) },
])("the request %j is invalid and answered", async (request) => {
  await take(request);
  expect(sent).toEqual([{ id: 3, error: { code: "invalid", reason: expect.any(String) } }]);
});

test.each(["", "{", "null", "7", '{"verb":"list"}', '{"id":"1","verb":"list"}', '{"id":-1,"verb":"list"}', "[]"])(
  "the line %j ends the connection",
  async (line) => {
    await requests.take(line, answers);
    expect([sent, isOpen]).toEqual([[], false]);
  },
);

test("too many requests of an owner, and in all, are answered busy", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  pulling = promise;
  const all = Array.from({ length: 70 }, (_, index) =>
    take({ id: index, verb: "pull", owner: `o${index < 20 ? 0 : index}`, name: "web" }),
  );
  const busy = sent.filter((message) => JSON.stringify(message).includes('"busy"')) as { id: number }[];
  // 16 of the first owner, then 48 others.
  expect(busy.map(({ id }) => id)).toEqual([16, 17, 18, 19, 68, 69]);
  resolve();
  await Promise.all(all);
  await take({ id: 99, verb: "images" });
  expect(sent.at(-1)).toEqual({ id: 99, result: { images: [] } });
});

test("a container that was made for a connection which has ended is removed", async () => {
  isOpen = false;
  await take(making);
  expect([sent, discarded]).toEqual([[], [made.container]]);
});

test("events have the form of the contract", () => {
  const container = "c".repeat(64);
  for (const event of [
    { kind: "ended", container, exitCode: 137, oomKilled: true },
    { kind: "removed", container },
    { kind: "engine", reachable: false },
  ])
    expect(Value.Check(BrokerEvent, { event })).toBe(true);
});

test("lines are found wherever the bytes are cut, and one that is too long is none", () => {
  const lines = new Lines();
  expect(lines.take(Buffer.from("a\nb"))).toEqual(["a"]);
  expect(lines.take(Buffer.from("c\n\nd"))).toEqual(["bc", ""]);
  expect(lines.take(Buffer.alloc(65_536, 97))).toBeUndefined();
  expect(new Lines().take(Buffer.from(`${"x".repeat(65_535)}\n`))).toHaveLength(1);
  expect(new Lines().take(Buffer.from(`${"x".repeat(65_536)}\n`))).toBeUndefined();
});
