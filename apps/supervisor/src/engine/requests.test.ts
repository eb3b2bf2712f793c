import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { Scene } from "./scene.fake.ts";

const OK = { ok: true };
const overtaken = (verb: string, by: string) => ({
  ok: false,
  reason: `cannot ${verb} "alice/web": a ${by} was requested meanwhile`,
});

describe("several requests at once", () => {
  test.each([
    [["stop", "start", "restart"], [overtaken("stop", "start"), OK, OK], "running"],
    [["restart", "start", "stop"], [overtaken("restart", "stop"), overtaken("start", "stop"), OK], "stopped"],
    [["stop", "restart", "stop"], [overtaken("stop", "start"), overtaken("restart", "stop"), OK], "stopped"],
    [["restart", "stop", "start"], [overtaken("restart", "stop"), overtaken("stop", "start"), OK], "running"],
  ] as const)("%j while a run is stopping end in the desired state of the last one", async (verbs, answers, phase) => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 500;
    const outcomes = verbs.map((verb) => scene.supervisor[verb](daemon));
    await scene.ports.clock.advance(1000);
    expect(await Promise.all(outcomes)).toMatchObject(answers);
    expect(daemon.state.phase).toBe(phase);
    expect(scene.ports.runs.live).toHaveLength(phase === "running" ? 1 : 0);
  });

  test("a start during a rolling restart starts nothing and ends nothing", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", {
      listen: "systemd",
      ready: "notify",
      readyTimeout: 60_000,
      autostart: false,
    });
    void scene.supervisor.start(daemon);
    scene.ports.runs.latest.ready();
    await scene.ports.clock.advance(200);
    const restart = scene.supervisor.restart(daemon);
    const before = scene.ports.runs.live;
    expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual(OK);
    expect(scene.ports.runs.live).toEqual(before);
    scene.ports.runs.latest.ready();
    expect(await scene.after(200, restart)).toEqual(OK);
  });

  test("a start during a stop is refused by a conf file that the policy forbids or that is invalid", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 500;
    const stop = scene.supervisor.stop(daemon);
    scene.ports.confs.write("alice", "web", { user: "bob" });
    expect(await scene.supervisor.start(daemon)).toMatchObject({ reason: expect.stringContaining('run as "bob"') });
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      reason: expect.stringContaining("web.conf:1: wrong"),
    });
    expect(await scene.after(1000, stop)).toEqual(OK);
    expect(daemon.state.phase).toBe("stopped");
  });
});

describe("a daemon that has failed", () => {
  test("a requested start does not wait for the back-off, and restarts it from 0", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    for (let crash = 0; crash < 4; crash += 1) {
      scene.ports.runs.latest.end({ code: 3 });
      await scene.ports.clock.advance(crash < 3 ? 1000 : 10);
    }
    expect(daemon.state).toMatchObject({ phase: "coolingdown", failures: 4 });
    const start = scene.supervisor.start(daemon);
    expect(daemon.state).toMatchObject({ phase: "starting", failures: 0 });
    scene.ports.runs.latest.end({ code: 3 });
    expect(await scene.after(2, start)).toMatchObject({ reason: 'cannot start "alice/web": exited with code 3' });
    expect(daemon.state.phase).toBe("starting");
  });

  test("scale of a daemon that has failed reports its exit", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "systemd", maxRetries: 0 });
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(200);
    for (const size of [2, 1]) {
      const outcome = await scene.after(200, scene.supervisor.scale(daemon, size));
      expect(outcome).toMatchObject({ ok: false, reason: 'cannot scale "alice/web": exited with code 3' });
    }
  });

  test("a restart whose last candidate fails for good while the old run is draining reports its exit", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "systemd", maxRetries: 0, readyAfter: 100, drain: 60_000 });
    scene.ports.runs.latest.client = true;
    const [old] = scene.ports.runs.live;
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(200);
    if (old) old.client = false;
    expect(await scene.after(200, restart)).toMatchObject({
      ok: false,
      reason: 'cannot restart "alice/web": exited with code 3',
    });
  });

  test("scale is refused where no conf file says what to start", async () => {
    const scene = new Scene();
    await scene.load("web");
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    scene.replace();
    expect(await scene.supervisor.scale(scene.daemon("web"), 2)).toMatchObject({
      ok: false,
      reason: 'cannot scale "alice/web": web.conf:1: wrong',
    });
  });

  test("once is followed by no restart, whatever its exit", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    expect(await scene.after(200, scene.supervisor.once(daemon))).toEqual(OK);
    scene.ports.runs.latest.end({ signal: "SIGKILL" });
    await scene.ports.clock.advance(60_000);
    expect(daemon.state).toMatchObject({ phase: "stopped", want: "down", respawns: 0 });
  });
});

test("a daemon that was put to sleep, stopped and started again wakes for the next client", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "http", ondemand: true });
  for (const client of [1, 2]) {
    await scene.after(200, scene.supervisor.stop(daemon));
    await scene.after(200, scene.supervisor.start(daemon));
    expect(daemon.state.phase).toBe("asleep");
    scene.ports.sockets.current?.connect(client);
    await scene.ports.clock.advance(200);
    expect(daemon.state.phase).toBe("running");
  }
});

describe("once for a daemon that is starting", () => {
  const starting = async (keys: Partial<Definition> = {}) => {
    const scene = new Scene();
    scene.ports.runs.automatic = false;
    const daemon = await scene.load("web", { readyAfter: 1000, ...keys });
    expect(daemon.state).toMatchObject({ phase: "starting", run: 1, once: false });
    const once = scene.supervisor.once(daemon);
    expect(daemon.state).toMatchObject({ phase: "starting", run: 1, once: true });
    return { scene, daemon, once };
  };

  test("once for a daemon that is starting keeps the run, which is not restarted when it ends", async () => {
    const { scene, daemon, once } = await starting();
    scene.ports.runs.latest.launched();
    expect(await scene.after(2000, once)).toEqual(OK);
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(60_000);
    expect(daemon.state).toMatchObject({ phase: "stopped", want: "down", run: 1 });
  });

  test("once for a daemon that is starting fails with the exit of that run", async () => {
    const { scene, daemon, once } = await starting();
    scene.ports.runs.latest.launched();
    scene.ports.runs.latest.end({ code: 3 });
    expect(await scene.after(60_000, once)).toEqual({
      ok: false,
      reason: 'cannot once "alice/web": exited with code 3',
      ran: true,
    });
    expect(daemon.state).toMatchObject({ phase: "stopped", run: 1 });
  });

  test("once for a daemon that is starting fails with what its launch waits for", async () => {
    const { scene, once } = await starting({ lock: "/run/x" });
    scene.ports.runs.latest.wait("waiting for the lock /run/x");
    expect(await scene.after(60_000, once)).toMatchObject({
      reason: 'cannot once "alice/web": waiting for the lock /run/x',
    });
  });

  test("once for a daemon that is starting counts until a start or a restart is requested", async () => {
    const { scene, daemon } = await starting();
    void scene.supervisor.start(daemon);
    expect(daemon.state).toMatchObject({ phase: "starting", run: 1, once: false });
    void scene.supervisor.once(daemon);
    void scene.supervisor.restart(daemon);
    expect(daemon.state).toMatchObject({ phase: "stopping", want: "up", once: false });
  });
});

test("start for a daemon that is starting fails with the exit of that run, which is restarted", async () => {
  const scene = new Scene();
  scene.ports.runs.automatic = false;
  const daemon = await scene.load("web");
  const start = scene.supervisor.start(daemon);
  scene.ports.runs.latest.launched();
  scene.ports.runs.latest.end({ code: 3 });
  expect(await scene.after(10, start)).toMatchObject({ reason: 'cannot start "alice/web": exited with code 3' });
  await scene.ports.clock.advance(60_000);
  expect(daemon.state).toMatchObject({ phase: "starting", want: "up" });
});

describe("a request", () => {
  test("a conf file that cannot be read leaves a running daemon as it is, and blocks the start of a stopped one", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const reason = (verb: string) => ({
      ok: false,
      reason: `cannot ${verb} "alice/web": /home/alice/.daemon-manager/daemons/web.conf: EIO: input/output error`,
      ran: false,
    });
    scene.ports.confs.unreadable.add("alice");
    expect(await scene.supervisor.restart(daemon)).toEqual(reason("restart"));
    expect(daemon.state).toMatchObject({ phase: "running", run: 1 });
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(await scene.supervisor.start(daemon)).toEqual(reason("start"));
    expect(daemon.state.phase).toBe("invalid");
    scene.ports.confs.unreadable.clear();
    expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({ ok: true });
  });
});
