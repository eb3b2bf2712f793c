import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { busyThread } from "../kernel/cpu-budget.fake.ts";
import { CpuBudget } from "../kernel/cpu-budget.ts";
import { fileNumber } from "../kernel/file-number.ts";
import { identify } from "../kernel/process-table.ts";
import { bindDatagrams, listenUnix } from "../kernel/raw-sockets.fake.ts";
import { SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { LinkedBindDirectory } from "./bind-directory.ts";
import { anyOf, hasClient, servesClient } from "./client-probe.ts";

let directory = "";
let server: Server | undefined;
const ends: Socket[] = [];
const descriptors: number[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-test-"));
});
afterEach(() => {
  for (const end of ends.splice(0)) end.destroy();
  for (const fd of descriptors.splice(0)) closeSync(fd);
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true });
});

/** A machine with so many sockets that no snapshot of all of them can be had. */
const crowded = (): SocketSnapshots => {
  let now = 0;
  const forever = (_: Uint8Array, take: (message: Buffer) => boolean): void => {
    do now += 1;
    while (take(Buffer.alloc(32)));
  };
  return new SocketSnapshots(
    forever,
    busyThread(() => now),
  );
};

const listen = async (path: string): Promise<void> => {
  server = createServer((socket) => ends.push(socket)).listen(path);
  await once(server, "listening");
};
const connect = async (path: string): Promise<void> => {
  const client = createConnection(path);
  ends.push(client);
  await once(client, "connect");
};
const self = (): ProcessIdentity[] => [identify(process.pid)].filter((each) => each !== undefined);

test("the probe finds a process with a client by queries where there are too many sockets for a snapshot", async () => {
  const path = join(directory, "socket");
  await listen(path);
  const file = fileNumber(statSync(path));
  const snapshots = crowded();
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    false,
    false,
  ]);
  const accepted = once(server as Server, "connection");
  await connect(path);
  await accepted;
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    true,
    true,
  ]);
  expect(anyOf(self(), servesClient(snapshots, fileNumber(statSync(directory))))).toBe(false);
});

test("a waiting client counts for a run that listens alone, and for no process of a shared socket", async () => {
  const path = join(directory, "socket");
  descriptors.push(listenUnix(path, 5));
  await connect(path);
  const file = fileNumber(statSync(path));
  const snapshots = crowded();
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    false,
    true,
  ]);
});

test("a snapshot that took too long is not tried again for a minute", () => {
  let dumps = 0;
  let now = 0;
  const snapshots = new SocketSnapshots(
    (_, take) => {
      dumps += 1;
      do now += 1;
      while (take(Buffer.alloc(32)));
    },
    busyThread(() => now),
  );
  for (let second = 0; second < 60; second += 1) {
    expect(snapshots.recent() ?? snapshots.since(now)).toBeUndefined();
    now += 900;
  }
  expect(dumps).toBe(1);
  now += 60_000;
  snapshots.recent();
  expect(dumps).toBe(2);
});

test("a bind directory publishes a socket only once a process listens on it, and without connecting to it", async () => {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] };
  const budget = new CpuBudget(1, 1000);
  const binding = new LinkedBindDirectory({
    ...{ root: directory, owner: "o", name: "d", group: own.gid, binder: own },
    ...{ snapshots: crowded(), processes: self, budget, measuring: budget },
  });
  descriptors.push(bindDatagrams(binding.provide(1)));
  expect(binding.publish(1)).toBe(false);
  await listen(binding.provide(2));
  expect(binding.publish(2)).toBe(true);
  const accepted = once(server as Server, "connection");
  await connect(binding.path);
  await accepted;
  // The two ends of one connection: publishing made none.
  expect(ends.length).toBe(2);
  binding.close();
});
