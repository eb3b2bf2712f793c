import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ProcessIdentity } from "../../engine/ports/runs.ts";
import { CpuBudget } from "../kernel/cpu-budget.ts";
import { bindDatagrams, listenUnix } from "../kernel/libc.ts";
import { identify } from "../kernel/process-table.ts";
import { fileNumber, SocketSnapshots } from "../kernel/socket-snapshot.ts";
import { Binding } from "./binding.ts";
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

/** Where somebody has so many sockets that to look at all of them takes longer than anybody waits. */
const crowded = (): SocketSnapshots => {
  let now = 0;
  const forever = (_: Uint8Array, take: (message: Buffer) => boolean): void => {
    do now += 1;
    while (take(Buffer.alloc(32)));
  };
  return new SocketSnapshots(forever, () => now);
};

const listen = async (path: string): Promise<void> => {
  server = createServer((socket) => ends.push(socket)).listen(path);
  await once(server, "listening");
};
const visit = async (path: string): Promise<void> => {
  const client = createConnection(path);
  ends.push(client);
  await once(client, "connect");
};
const self = (): ProcessIdentity[] => [identify(process.pid)].filter((each) => each !== undefined);

test("whoever has a client in hand is seen to, however many sockets others have", async () => {
  const path = join(directory, "socket");
  await listen(path);
  const file = fileNumber(statSync(path));
  const snapshots = crowded();
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    false,
    false,
  ]);
  const accepted = once(server as Server, "connection");
  await visit(path);
  await accepted;
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    true,
    true,
  ]);
  expect(anyOf(self(), servesClient(snapshots, fileNumber(statSync(directory))))).toBe(false);
});

test("a client that waits is one of a listener's own, and in nobody's hand", async () => {
  const path = join(directory, "socket");
  descriptors.push(listenUnix(path, 5));
  await visit(path);
  const file = fileNumber(statSync(path));
  const snapshots = crowded();
  expect([anyOf(self(), servesClient(snapshots, file)), anyOf(self(), hasClient(snapshots, file))]).toEqual([
    false,
    true,
  ]);
});

test("a look that was broken off is not taken again and again", () => {
  let looks = 0;
  let now = 0;
  const snapshots = new SocketSnapshots(
    (_, take) => {
      looks += 1;
      do now += 1;
      while (take(Buffer.alloc(32)));
    },
    () => now,
  );
  for (let second = 0; second < 60; second += 1) {
    expect(snapshots.recent() ?? snapshots.since(now)).toBeUndefined();
    now += 900;
  }
  expect(looks).toBe(1);
  now += 60_000;
  snapshots.recent();
  expect(looks).toBe(2);
});

test("what a run listens on is published, however many sockets others have, and nothing else is", async () => {
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, groups: [] };
  const budget = new CpuBudget(1, 1000);
  const binding = new Binding({
    ...{ root: directory, owner: "o", name: "d", group: own.gid, binder: own },
    ...{ snapshots: crowded(), processes: self, budget, counting: budget },
  });
  descriptors.push(bindDatagrams(binding.provide(1)));
  expect(binding.publish(1)).toBe(false);
  await listen(binding.provide(2));
  expect(binding.publish(2)).toBe(true);
  const accepted = once(server as Server, "connection");
  await visit(binding.path);
  await accepted;
  // It is looked at, and not visited: those are the two ends of the one visit.
  expect(ends.length).toBe(2);
  binding.close();
});
