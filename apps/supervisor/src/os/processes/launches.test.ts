import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LaunchPlan } from "../../launch/plan.ts";
import type { ShimLink } from "../shim/link.ts";
import type { ShimRun } from "../shim/objects.ts";
import { Launches } from "./launches.ts";
import { RecordedEvents } from "./recorded-events.fake.ts";
import { LONGEST_LAUNCH } from "./run-report.ts";

let child: ChildProcess;
let report: (change: Partial<ShimRun>) => void;
let events: RecordedEvents;

beforeEach(() => {
  child = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
  // Turns of the event loop are real ones.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const state = { kind: "run", name: "a/web:1:1", pid: child.pid, state: "launching", ready: false };
  const link = {
    launch: () => child.pid,
    follow: (_: string, changed: (run: ShimRun) => void) => {
      report = (change) => changed({ ...state, ...change } as ShimRun);
    },
  } as unknown as ShimLink;
  events = new RecordedEvents();
  const plan: Partial<LaunchPlan> = { cgroup: undefined };
  new Launches(link, () => []).launch("a/web:1:1", plan as LaunchPlan, { descriptors: new Map() }, events);
});
afterEach(() => {
  vi.useRealTimers();
  child.kill("SIGKILL");
});

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a launch of which the supervisor learns in the turn in which its time limit is noticed is not killed", async () => {
  vi.advanceTimersByTime(LONGEST_LAUNCH);
  report({ state: "launched" });
  await nextTurn();
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
  report({ state: "exited" });
  expect([events.all.slice(0, 2), events.exit?.failure]).toEqual([["launched", "exited"], undefined]);
});

test("a launch that takes longer than its time limit is killed and reported", async () => {
  vi.advanceTimersByTime(LONGEST_LAUNCH);
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  report({ state: "exited" });
  expect(events.exit?.failure).toEqual({ stage: "launching", reason: "it took longer than 15s" });
});

test("time for which a launch says that it waits does not count", async () => {
  report({ waiting: "waits for the lock /srv/lock" });
  vi.advanceTimersByTime(LONGEST_LAUNCH);
  report({});
  vi.advanceTimersByTime(LONGEST_LAUNCH - 1);
  report({ state: "launched" });
  child.kill("SIGTERM");
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
});

test("a run that followed a stray by itself is cleared as well, also before its own event has come", () => {
  const forgotten: string[] = [];
  const followers = new Map<string, (run: ShimRun) => void>();
  const stray = { kind: "run", name: "a/web:1:1", pid: 0, state: "launched", cgroup: "/nonexistent/1" };
  const link = {
    foundRun: (name: string) => (name === stray.name ? stray : undefined),
    follow: (name: string, changed: (run: ShimRun) => void) => followers.set(name, changed),
    forget: (name: string) => forgotten.push(name),
    isUnfollowed: (name: string) => !followers.has(name),
    requests: { permitNext: () => undefined },
  } as unknown as ShimLink;
  new Launches(link, () => []).clear(stray.name);
  followers.get(stray.name)?.({ ...stray, state: "exited", next: { pid: 1234567, at: 0 } } as ShimRun);
  followers.get("a/web:1:2")?.({ ...stray, name: "a/web:1:2", state: "exited" } as ShimRun);
  expect(forgotten).toEqual(["a/web:1:1", "a/web:1:2"]);
});

test("a run that has ended before it is taken over is not taken for a process that has its pid now", () => {
  const permitNext = (): void => {
    throw Object.assign(new Error("it has ended"), { code: "EBUSY" });
  };
  const link = { follow: () => undefined, requests: { permitNext } } as unknown as ShimLink;
  const run = new Launches(link, () => []).take("a/web:1:2", child.pid ?? 0, { cgroup: undefined }, events);
  expect(run.leader).toEqual({ pid: child.pid, startTime: 0 });
});
