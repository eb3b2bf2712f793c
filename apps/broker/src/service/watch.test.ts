import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BrokerEvent } from "@dmhost/broker-contract";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { EngineFailure } from "../rules/engine.ts";
import { FakeContainerEngine } from "./engine.fake.ts";
import { BrokerState } from "./state-files.ts";
import { EngineWatch } from "./watch.ts";

const purpose = { owner: "alice", name: "web", instance: 1, run: 2 };
let directory: string;
let engine: FakeContainerEngine;
let state: BrokerState;
let events: BrokerEvent["event"][];
let sweeps: number;
let watch: EngineWatch;

const add = (): string => {
  const id = engine.add({ "io.dmhost.broker": state.id });
  state.addContainer(id, purpose);
  return id;
};
const end = (id: string, exitCode: number, oomKilled = false): void => {
  const found = engine.containers.get(id);
  if (found) engine.containers.set(id, { ...found, running: false, exitCode, oomKilled });
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-broker-"));
  engine = new FakeContainerEngine();
  state = new BrokerState(directory);
  events = [];
  sweeps = 0;
  const broker = {
    sweep: async () => {
      sweeps += 1;
    },
    forgetEngine: () => undefined,
  };
  watch = new EngineWatch(
    engine,
    state,
    broker,
    (event) => void events.push(event),
    () => undefined,
  );
});
afterEach(() => {
  watch.end();
  rmSync(directory, { recursive: true, force: true });
});

test("an end is reported once with code and reason, and so is a removal", async () => {
  const id = add();
  void watch.follow();
  await vi.waitFor(() => expect(events).toEqual([{ kind: "engine", reachable: true }]));
  end(id, 137, true);
  engine.emit({ kind: "ended", id });
  engine.emit({ kind: "ended", id });
  await vi.waitFor(() => expect(events).toHaveLength(2));
  expect(events[1]).toEqual({ kind: "ended", container: id, exitCode: 137, oomKilled: true });
  engine.containers.delete(id);
  engine.emit({ kind: "removed", id });
  engine.emit({ kind: "removed", id });
  await vi.waitFor(() => expect(events).toHaveLength(3));
  expect(events[2]).toEqual({ kind: "removed", container: id });
  expect(state.containers.size).toBe(0);
});

test("events of containers that are not recorded are none of the supervisor's; a creation lets the broker look for its own", async () => {
  void watch.follow();
  await vi.waitFor(() => expect(sweeps).toBe(1));
  engine.emit({ kind: "ended", id: "f".repeat(64) });
  engine.emit({ kind: "removed", id: "f".repeat(64) });
  engine.emit({ kind: "created", id: "f".repeat(64) });
  await vi.waitFor(() => expect(sweeps).toBe(2));
  expect(events).toEqual([{ kind: "engine", reachable: true }]);
});

test("what ended or was removed while the engine was away is reported when it is back", async () => {
  const [ended, removed, running] = [add(), add(), add()];
  void watch.follow();
  await vi.waitFor(() => expect(events).toHaveLength(1));
  engine.failures.set("events", new EngineFailure("connect ENOENT", 0));
  engine.stop();
  await vi.waitFor(() => expect(events.at(-1)).toEqual({ kind: "engine", reachable: false }));
  end(ended, 1);
  engine.containers.delete(removed);
  engine.failures.clear();
  await vi.waitFor(() => expect(events.at(-1)).toEqual({ kind: "engine", reachable: true }), 5000);
  expect(events.slice(2, -1)).toEqual([
    { kind: "ended", container: ended, exitCode: 1, oomKilled: false },
    { kind: "removed", container: removed },
  ]);
  expect(state.containers.has(running)).toBe(true);
});
