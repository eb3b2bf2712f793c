import { expect, test } from "vitest";
import type { FakeRun } from "./ports/run.fake.ts";
import { Scene, type World } from "./scene.fake.ts";

/** A daemon whose run is old enough to be followed. */
const running = async (world: World = {}, definition = {}) => {
  const scene = new Scene(world);
  const daemon = await scene.load("web", definition);
  const { runs, clock } = scene.ports;
  const [first] = runs.all as [FakeRun];
  const pids = () => runs.live.map(({ pid }) => pid);
  return { scene, daemon, first, runs, clock, pids };
};

test("a run that follows by itself is taken over, with the exit of the former one", async () => {
  const { daemon, first, runs, clock } = await running();
  first.end({ signal: "SIGSEGV" });
  await clock.advance(200);
  const last = { run: 1, exit: { how: "signal", signal: "SIGSEGV" } };
  expect(runs.all.map(({ number }) => number)).toEqual([1, 2]);
  expect(daemon.state).toMatchObject({ phase: "running", run: 2, respawns: 1, failures: 1, last });
  expect(daemon.pid).toBe(first.next?.pid);
});

test("a run after a healthy one may be followed as well, and one after a failed one may not", async () => {
  const { first, clock } = await running({}, { healthyAfter: 1000 });
  await clock.advance(1000);
  first.end({ code: 0 });
  await clock.advance(200);
  expect(first.next?.followedAfter).toBe(100);
  first.next?.end({ code: 0 });
  await clock.advance(200);
  expect(first.next?.next?.followedAfter).toBe(0);
});

test("a run that was launched while its owner's restarts are used up is not followed by itself", async () => {
  const { first, clock } = await running({ limits: { alice: { restarts: 1 } } }, { healthyAfter: 100 });
  first.end({ code: 0 });
  await clock.advance(200);
  expect(first.next?.followedAfter).toBe(0);
});

test("a run without a cgroup is not followed by itself", async () => {
  const scene = new Scene();
  scene.ports.limits.groups = false;
  await scene.load("web");
  expect(scene.ports.runs.latest.followedAfter).toBe(0);
});

test.each(["stop", "restart", "once"] as const)("no run follows by itself after %s was requested", async (verb) => {
  const { scene, daemon, first } = await running();
  expect(first.followedAfter).toBe(100);
  first.obedient = false;
  void scene.supervisor[verb](daemon);
  expect(first.followedAfter).toBe(0);
});

test.each([
  ["stop", "stopped", []],
  ["once", "stopped", []],
  ["restart", "running", [3]],
] as const)("a run that has followed when %s is requested ends, and the daemon is %s", async (verb, phase, left) => {
  const { scene, daemon, first, runs, clock } = await running();
  first.end({ code: 0 });
  void scene.supervisor[verb](daemon);
  await clock.advance(500);
  expect(daemon.state.phase).toBe(phase);
  expect(runs.live.map(({ number }) => number)).toEqual(left);
});

test("a restart succeeds where it ends a run that had followed by itself, and counts from 0", async () => {
  const { scene, daemon, first, clock } = await running();
  first.end({ code: 0 });
  const restarted = scene.supervisor.restart(daemon);
  await clock.advance(500);
  expect(await restarted).toEqual({ ok: true });
  expect(daemon.state).toMatchObject({ phase: "running", run: 3, respawns: 0 });
});

test("a run that had followed by itself drains where the former one was to drain", async () => {
  const { scene, daemon, runs, clock } = await running({}, { instances: 2 });
  const [, second] = runs.all as [FakeRun, FakeRun];
  second.end({ code: 0 });
  const next = second.next as FakeRun;
  next.client = true;
  void scene.supervisor.scale(daemon, 1);
  await clock.advance(50);
  expect(next.received).toEqual(["drain"]);
  next.client = false;
  expect(next.lives).toBe(false);
});

test("a run that is taken over late was started when the shim launched it", async () => {
  const { scene, first, clock } = await running({}, { healthyAfter: 1000 });
  scene.ports.records.flush();
  scene.ports.runs.forget();
  first.end({ code: 0 });
  const begun = clock.now();
  await clock.advance(5000);
  scene.replace();
  await clock.advance(200);
  expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2, startedAt: begun });
  first.next?.end({ code: 0 });
  await clock.advance(200);
  expect(scene.daemon("web").state.last).toMatchObject({ run: 2, failed: false });
});

test("no run follows by itself by terms that have changed", async () => {
  const { scene, first } = await running();
  scene.reload({ uids: { alice: 1001, bob: 1002, www: 1100, carol: 1003 } });
  expect(first.followedAfter).toBe(0);
});

test("the next supervisor takes over a run that followed without one, and lets none follow the runs that it adopts", async () => {
  const { scene, first, clock, pids } = await running();
  scene.ports.records.flush();
  first.end({ code: 0 });
  scene.replace();
  await clock.advance(200);
  expect(pids()).toEqual([first.next?.pid]);
  expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2, last: { run: 1 } });
  scene.replace();
  await clock.advance(200);
  expect(first.next?.followedAfter).toBe(0);
  expect(pids()).toEqual([first.next?.pid]);
});

test("a run that followed a run without a conf file is a stray", async () => {
  const { scene, first, clock, pids } = await running();
  scene.ports.confs.remove("alice", "web");
  first.end({ code: 0 });
  scene.replace();
  await clock.advance(200);
  expect(pids()).toEqual([]);
});

test("a run that follows by itself at a socket that clients no longer find is replaced, and gets a new one", async () => {
  const { scene, daemon, first, clock } = await running({}, { listen: "http" });
  const lost = scene.ports.sockets.current;
  if (lost) lost.published = false;
  first.end({ signal: "SIGKILL" });
  await clock.advance(500);
  expect(first.next?.exists).toBe(false);
  expect(scene.ports.sockets.current).not.toBe(lost);
  expect(daemon.state).toMatchObject({ phase: "running", run: 3 });
});
