import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ShimLink } from "../shim/link.ts";
import { endShim, startedShim } from "../shim/started-shim.fake.ts";
import { ShimHeldSocket } from "./held-socket.ts";
import { queuedClients } from "./socket-facts.ts";

vi.mock("./socket-facts.ts", async (load) => {
  const real = await load<typeof import("./socket-facts.ts")>();
  return { queuedClients: vi.fn(real.queuedClients) };
});

let directory: string;
let link: ShimLink;
let socket: ShimHeldSocket;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "held-"));
  link = await startedShim(directory);
  const gid = process.getegid?.() ?? 0;
  socket = new ShimHeldSocket(link, "anna/blog", join(directory, "blog.sock"), gid, (problem) => {
    throw new Error(problem);
  });
  socket.admit(true);
  vi.mocked(queuedClients).mockClear();
});
afterEach(() => {
  endShim(link);
  rmSync(directory, { recursive: true });
});

const client = (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const made = connect(socket.path, () => resolve(made));
    made.once("error", reject);
  });
const held = () => link.requests.list().flatMap((each) => (each.kind === "socket" ? each : []));

test("the shim says whether clients wait at a socket", async () => {
  expect(held()).toMatchObject([{ queued: false }]);
  const waiting = await client();
  expect(held()).toMatchObject([{ queued: true }]);
  waiting.destroy();
});

test("clients that wait are refused by another socket at the same path", async () => {
  const [{ inode } = { inode: 0 }] = held();
  const waiting = await client();
  const closed = new Promise((resolve) => waiting.once("close", resolve));
  socket.admit(false);
  socket.refuseWaiting();
  waiting.resume();
  await closed;
  expect(held()[0]?.inode).not.toBe(inode);
});

test("a socket at which nobody waits stays, and no client can wait there until it admits some", async () => {
  const [{ inode } = { inode: 0 }] = held();
  socket.admit(false);
  socket.refuseWaiting();
  expect(held()[0]?.inode).toBe(inode);
  expect(socket.observe()).toMatchObject({ waiting: [], queued: false });
  socket.admit(true);
  const waiting = await client();
  expect(socket.observe()).toMatchObject({ queued: true });
  waiting.destroy();
});

test("a socket at which nobody waits is stopped and closed without a query to the kernel about it", () => {
  socket.admit(false);
  socket.refuseWaiting();
  socket.close();
  expect(socket.observe()).toMatchObject({ waiting: [], queued: false });
  expect(queuedClients).not.toHaveBeenCalled();
});

/** What the next supervisor has, and how often it sends each request. */
const next = async () => {
  link.close();
  link = await startedShim(directory);
  const { requests } = link;
  const sent = [vi.spyOn(requests, "listen"), vi.spyOn(requests, "watch"), vi.spyOn(requests, "unwatch")] as const;
  socket = new ShimHeldSocket(link, "anna/blog", socket.path, process.getegid?.() ?? 0, (problem) => {
    throw new Error(problem);
  });
  return () => sent.map(({ mock }) => mock.calls.length);
};

test("a socket that no run has had, and its watch, are continued by the next supervisor without a request", async () => {
  socket.awaitClient(() => undefined);
  const sent = await next();
  expect([socket.isNew, socket.restore()]).toEqual([false, true]);
  const came = vi.fn();
  socket.awaitClient(came);
  expect(sent()).toEqual([0, 0, 0]);
  const waiting = await client();
  await vi.waitFor(() => expect(came).toHaveBeenCalledOnce());
  waiting.destroy();
});

test("a client that came before the next supervisor waits for it is found", async () => {
  socket.awaitClient(() => undefined);
  const waiting = await client();
  const sent = await next();
  const came = vi.fn();
  socket.awaitClient(came);
  expect(sent()).toEqual([0, 1, 0]);
  await vi.waitFor(() => expect(came).toHaveBeenCalledOnce());
  waiting.destroy();
});

test("a watch whose client came while the next supervisor started is not continued", async () => {
  socket.awaitClient(() => undefined);
  const sent = await next();
  // The events of one connection come in order.
  const other = new ShimHeldSocket(link, "anna/shop", join(directory, "shop.sock"), 0, () => undefined);
  other.admit(true);
  const came = vi.fn();
  other.awaitClient(came);
  (await client()).destroy();
  const last = connect(other.path);
  await vi.waitFor(() => expect(came).toHaveBeenCalledOnce());
  last.destroy();
  socket.awaitClient(() => undefined);
  expect(sent()).toEqual([1, 2, 0]);
});

test("the watch of an earlier supervisor ends where the clients are refused", async () => {
  socket.awaitClient(() => undefined);
  const sent = await next();
  socket.admit(false);
  socket.refuseWaiting();
  socket.awaitClient(() => undefined);
  expect(sent()).toEqual([1, 1, 1]);
});

test("a socket that a run has had is examined each time, also by the next supervisor", async () => {
  const descriptors = new Map([[0, { kind: "socket", name: "anna/blog" }]] as const);
  const listen = vi.spyOn(link.requests, "listen");
  expect(socket.restore()).toBe(true);
  expect(listen).not.toHaveBeenCalled();
  const uid = process.getuid?.() ?? 0;
  const account = { uid, gid: process.getgid?.() ?? 0, groups: [] };
  link.launch("run", { words: ["/bin/true"], environment: new Map(), directory: "/", descriptors, account });
  expect(socket.restore()).toBe(true);
  expect(listen).toHaveBeenCalledOnce();
  const sent = await next();
  expect(socket.restore()).toBe(true);
  expect(sent()).toEqual([2, 0, 0]);
});
