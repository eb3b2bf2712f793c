import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { busyThread } from "./cpu-budget.fake.ts";
import { fileNumber } from "./file-number.ts";
import { dumpSockets } from "./sock-diag.ts";
import { type Dump, SocketSnapshots } from "./socket-snapshot.ts";

let directory: string;
let server: Server;
const ends: Socket[] = [];

beforeAll(async () => {
  directory = mkdtempSync("/tmp/dmhost-snapshots-");
  server = createServer((socket) => ends.push(socket)).listen(join(directory, "socket"));
  await once(server, "listening");
});
afterAll(() => {
  for (const end of ends) end.destroy();
  server?.close();
  rmSync(directory, { recursive: true });
});

it("a snapshot shows listeners and accepted connections", async () => {
  const path = join(directory, "socket");
  const before = new SocketSnapshots().recent()?.to(fileNumber(statSync(path)));
  expect(before).toEqual({ count: 0, accepted: new Set(), listening: true });
  const client = createConnection(path);
  ends.push(client);
  await once(server, "connection");
  const snapshots = new SocketSnapshots().recent();
  const { count, accepted } = snapshots?.to(fileNumber(statSync(path))) ?? {};
  expect([count, accepted?.size]).toEqual([1, 1]);
  for (const inode of accepted ?? []) expect(snapshots?.has(inode)).toBe(true);
  expect(snapshots?.to(fileNumber(statSync(directory))).listening).toBe(false);
});

/** The kernel's message about a listening socket, bound to a file with this inode on the device with this minor number. */
const listener = (inode: number, minor: number): Buffer => {
  const message = Buffer.alloc(32 + 12);
  message.writeUInt8(1, 17);
  message.writeUInt8(10, 18);
  message.writeUInt32LE(4711, 20);
  message.writeUInt16LE(12, 32);
  message.writeUInt16LE(1, 34);
  message.writeUInt32LE(inode, 36);
  message.writeUInt32LE(minor, 40);
  return message;
};

it.runIf(process.geteuid?.() === 0)("a snapshot distinguishes sockets with equal inodes on two file systems", () => {
  const snapshots = new SocketSnapshots((_, take) => take(listener(5, 0x1234)));
  // As stat(2) writes the device 0:0x1234.
  const [one, other] = [fileNumber({ ino: 5, dev: 0x1200034 }), fileNumber({ ino: 5, dev: 0x35 })];
  expect([snapshots.recent()?.to(one).listening, snapshots.recent()?.to(other).listening]).toEqual([true, false]);
});

/** A kernel that needs `cost` ms for each of `many` sockets, and a clock that only it advances. */
const slow = (cost: number, many: number) => {
  const clock = { now: 0 };
  const state = { dumps: 0, messages: 0 };
  const message = Buffer.alloc(32);
  const dump: Dump = (_, take) => {
    state.dumps += 1;
    for (let each = 0; each < many; each += 1) {
      clock.now += cost;
      state.messages += 1;
      if (!take(message)) return;
    }
  };
  return {
    clock,
    state,
    snapshots: new SocketSnapshots(
      dump,
      busyThread(() => clock.now),
    ),
  };
};

it("callers share a recent snapshot, and a caller that needs a later one gets a new one", () => {
  const { clock, state, snapshots } = slow(0.001, 100);
  const first = snapshots.recent();
  for (let other = 0; other < 50; other += 1) expect(snapshots.recent()).toBe(first);
  expect(state.dumps).toBe(1);
  clock.now += 1;
  const now = clock.now;
  const second = snapshots.since(now);
  expect(second).not.toBe(first);
  for (let other = 0; other < 50; other += 1) expect(snapshots.since(now)).toBe(second);
  expect(state.dumps).toBe(2);
});

it("slow snapshots are limited to a share of the time, and some are always taken", () => {
  const { clock, state, snapshots } = slow(0.01, 10_000);
  let spent = 0;
  let definite = 0;
  for (let round = 0; round < 6000; round += 1) {
    const startedAt = clock.now;
    if (snapshots.recent() && snapshots.since(clock.now)) definite += 1;
    spent += clock.now - startedAt;
    clock.now += 10;
  }
  expect(spent / clock.now).toBeLessThan(0.15);
  expect(definite).toBeGreaterThan(10);
  expect(state.dumps).toBeGreaterThanOrEqual(2 * definite);
});

it("a snapshot that takes too long is aborted and not used", () => {
  const { state, snapshots } = slow(0.01, 1_000_000);
  expect(snapshots.recent()).toBeUndefined();
  expect(state.messages).toBeLessThan(30_000);
});

const failing = (code: string): SocketSnapshots =>
  new SocketSnapshots(() => {
    throw Object.assign(new Error(`socket: ${code}`), { code });
  });

it.each(["ENOENT", "EPROTONOSUPPORT", "ECONNREFUSED", "EACCES", "EPERM"])(
  "a snapshot is empty and marked as unsupported where socket diagnosis fails with %s",
  (code) => {
    const snapshots = failing(code);
    expect(snapshots.recent()).toMatchObject({ supported: false });
    expect(snapshots.recent()?.to(1).count).toBe(0);
    expect(snapshots.recent()?.has(1)).toBe(true);
  },
);

it("an error message of the kernel does not count as an empty list", () => {
  const AF_NOBODY = 255;
  const snapshots = new SocketSnapshots((request, take) => {
    request[16] = AF_NOBODY;
    dumpSockets(request, take);
  });
  expect(snapshots.recent()?.supported).not.toBe(true);
});

it.each(["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])(
  "there is no snapshot where socket diagnosis fails with %s, which may not occur again",
  (code) => {
    const snapshots = failing(code);
    expect(snapshots.recent()).toBeUndefined();
    expect(snapshots.since(performance.now())).toBeUndefined();
  },
);

it("a snapshot is tried again after a failure", () => {
  const clock = { now: 0 };
  let fails = true;
  const dump: Dump = () => {
    if (fails) throw Object.assign(new Error("socket: EMFILE"), { code: "EMFILE" });
  };
  const snapshots = new SocketSnapshots(
    dump,
    busyThread(() => clock.now),
  );
  expect(snapshots.recent()).toBeUndefined();
  fails = false;
  clock.now += 10;
  expect(snapshots.recent()).toMatchObject({ supported: true });
});
