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
