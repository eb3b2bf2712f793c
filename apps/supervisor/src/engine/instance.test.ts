import { describe, expect, test } from "vitest";
import { imageName } from "../core/image.ts";
import { Scene } from "./scene.fake.ts";

describe("the record of an instance", () => {
  test("an instance that is dropped leaves no record, although its log changes later", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    const log = scene.ports.logs.current;
    scene.ports.confs.remove("alice", "web");
    scene.rescan();
    await scene.after(200, scene.supervisor.stop(daemon));
    log?.replaced();
    await scene.ports.clock.advance(1);
    expect(scene.ports.records.daemons("alice")).toEqual([]);
  });

  test("a retiring instance that had no run leaves no record", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", ondemand: true, instances: 2 });
    expect(daemon.state.phase).toBe("asleep");
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    expect([...scene.ports.records.recall({ owner: { name: "alice" }, name: "web" }).keys()]).toEqual([1]);
  });
});

describe("timeouts", () => {
  test("a run is killed where drain and stop-timeout are both 0", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2, drain: 0, stopTimeout: 0 });
    for (const run of scene.ports.runs.live) {
      run.client = true;
      run.obedient = false;
    }
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    await scene.ports.clock.advance(1000);
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1]);
  });
});

describe("an instance", () => {
  test("an instance is down since its run has ended, and since it is known where it had none", async () => {
    const scene = new Scene();
    const known = scene.ports.clock.now();
    const daemon = await scene.load("web", { autostart: false });
    expect(daemon.representative.downSince).toBe(known);
    await scene.after(200, scene.supervisor.start(daemon));
    void scene.supervisor.stop(daemon);
    await scene.ports.clock.advance(500);
    const ended = scene.ports.clock.now() - 499;
    expect(daemon.representative.downSince).toBe(ended);
  });

  test("an instance keeps the first reason for which its run was killed", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    daemon.representative.exceed(64, 70);
    daemon.representative.exceed(32, 80);
    await scene.ports.clock.advance(5);
    expect(daemon.state.last?.exit).toEqual({ how: "out-of-memory", limit: 64, peak: 70 });
  });

  test("an instance ignores what the launch of an earlier run waits for", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const [first] = scene.ports.runs.all;
    scene.ports.runs.automatic = false;
    void scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(5);
    expect(daemon.state).toMatchObject({ phase: "starting", run: 2 });
    first?.wait("waiting for the lock /run/x");
    await scene.ports.clock.advance(5);
    expect(daemon.waiting).toBe("");
  });
});

describe("a launch", () => {
  test.each([
    ["limits", "creating its cgroup"],
    ["runs", "creating the process"],
  ] as const)(
    "an error of the port %s fails the launch at the stage '%s', and it is tried again",
    async (port, stage) => {
      const scene = new Scene();
      const daemon = await scene.load("web", { autostart: false });
      scene.ports[port].error = new Error("EIO");
      expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({
        ok: false,
        reason: `cannot start "alice/web": ${stage}: EIO`,
        ran: false,
      });
      await scene.ports.clock.advance(300);
      expect(daemon.state).toMatchObject({ phase: "running", run: 2 });
    },
  );

  test("an error that is no Error is reported as text", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.runs.error = "out of order" as unknown as Error;
    expect(await scene.after(200, scene.supervisor.start(daemon))).toMatchObject({
      reason: 'cannot start "alice/web": creating the process: out of order',
    });
  });

  test.each([
    [
      "its process cannot be made",
      "systemd",
      true,
      (scene: Scene) => {
        scene.ports.runs.error = new Error("EAGAIN");
      },
    ],
    [
      "its bind directory cannot be made",
      "path",
      false,
      (scene: Scene) => {
        for (const directory of scene.ports.sockets.directories) directory.error = new Error("ENOSPC");
      },
    ],
  ] as const)("a launch that fails because %s leaves no cgroup behind", async (_, listen, made, spoil) => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen, autostart: false });
    spoil(scene);
    expect(await scene.after(5, scene.supervisor.start(daemon))).toMatchObject({ ok: false });
    expect(scene.ports.limits.made.length > 0).toBe(made);
    expect([...scene.ports.limits.unused]).toEqual([]);
  });

  test("a launch that fails while it is stopped leaves the daemon stopped", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.runs.error = new Error("EIO");
    void scene.supervisor.start(daemon);
    expect(await scene.after(200, scene.supervisor.stop(daemon))).toEqual({ ok: true });
    expect(daemon.state.phase).toBe("stopped");
  });

  test("a launch that waits answers its request with what it waits for, and counts from when it continues", async () => {
    const scene = new Scene();
    scene.ports.runs.automatic = false;
    const daemon = await scene.load("web", { lock: "/run/x", autostart: false });
    const start = scene.supervisor.start(daemon);
    scene.ports.runs.latest.wait("waiting for the lock /run/x");
    expect(await scene.after(5, start)).toEqual({
      ok: false,
      reason: 'cannot start "alice/web": waiting for the lock /run/x',
      ran: false,
    });
    expect(daemon.waiting).toBe("waiting for the lock /run/x");
    await scene.ports.clock.advance(50_000);
    expect(daemon.state.phase).toBe("starting");
    scene.ports.runs.latest.wait("");
    scene.ports.runs.latest.launched();
    await scene.ports.clock.advance(200);
    expect([daemon.waiting, daemon.state.phase]).toEqual(["", "running"]);
    expect(daemon.state.startedAt).toBe(scene.ports.clock.now() - 199);
  });

  test("a request waits with a launch that waits briefly, as for its container, and its status says for what", async () => {
    const scene = new Scene();
    scene.ports.runs.automatic = false;
    const daemon = await scene.load("web", { autostart: false });
    const start = scene.supervisor.start(daemon);
    scene.ports.runs.latest.wait("pulling 42 %", true);
    await scene.ports.clock.advance(60_000);
    expect([daemon.waiting, daemon.state.phase]).toEqual(["pulling 42 %", "starting"]);
    scene.ports.runs.latest.launched();
    expect(await scene.after(200, start)).toEqual({ ok: true });
  });

  test("a run in a container has a plan for that, and is followed by itself without a cgroup as well", async () => {
    const scene = new Scene({ images: ["php:*"] });
    scene.ports.machine.containerObjection = undefined;
    scene.ports.limits.groups = false;
    const daemon = await scene.load("web", { image: imageName("php") });
    const { plan } = scene.ports.runs.latest;
    expect([daemon.state.phase, plan?.cgroup, typeof plan?.container]).toEqual(["running", undefined, "string"]);
    expect(plan?.again).toBeGreaterThan(0);
  });

  test("a run that reports readiness counts as running from then on, and has failed when it is late", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { ready: "notify", readyTimeout: 2000, autostart: false });
    const start = scene.supervisor.start(daemon);
    await scene.ports.clock.advance(1000);
    scene.ports.runs.latest.ready();
    expect(await scene.after(5, start)).toEqual({ ok: true });
    const restart = scene.supervisor.restart(daemon);
    expect(await scene.after(3000, restart)).toEqual({
      ok: false,
      reason: 'cannot restart "alice/web": not ready after 2s (ready-timeout)',
      ran: true,
    });
  });

  test("each run gets a cgroup", async () => {
    const scene = new Scene();
    await scene.load("web", { listen: "fastcgi" });
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(300);
    expect(scene.ports.runs.latest.trace.cgroup).toBe("/cgroup/alice/web.d/1-2");
    expect(scene.ports.limits.made).toEqual(["/cgroup/alice/web.d/1-1", "/cgroup/alice/web.d/1-2"]);
  });

  test("news of an earlier run are ignored", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const [first] = scene.ports.runs.all;
    first?.end({ code: 1 });
    await scene.ports.clock.advance(300);
    if (first) first.lives = true;
    first?.wait("old news");
    await scene.ports.clock.advance(5);
    expect([daemon.waiting, daemon.state.phase]).toEqual(["", "running"]);
  });
});

describe("the finish of a service directory", () => {
  const service = { directory: "/home/alice/service/web", finish: true, contents: "" };

  test("a finish runs after each run with its exit code, as a helper process, before the next run starts", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { service });
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(1);
    expect(scene.ports.runs.finishes[0]?.plan.start).toBe("exec ./finish 3 0");
    expect(daemon.helperProcesses()).toHaveLength(1);
    await scene.ports.clock.advance(200);
    expect([daemon.helperProcesses(), daemon.state.run]).toEqual([[], 2]);
  });

  test("exit code 125 of a finish fails the daemon", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { service });
    scene.ports.runs.finish = 125;
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(200);
    expect(daemon.state).toMatchObject({ phase: "failed", last: { permanent: true } });
  });

  test("a finish that cannot be launched delays nothing", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { service });
    scene.ports.runs.latest.end({ code: 3 });
    scene.ports.limits.error = new Error("EIO");
    await scene.ports.clock.advance(300);
    expect(daemon.state).toMatchObject({ phase: "running", run: 2 });
  });

  test("a finish that executes while the supervisor is replaced is waited for, and not repeated", async () => {
    const scene = new Scene();
    await scene.load("web", { service });
    scene.ports.runs.finish = 125;
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(1);
    expect(scene.ports.runs.finishes).toHaveLength(1);
    scene.replace();
    await scene.ports.clock.advance(200);
    expect(scene.ports.runs.finishes).toHaveLength(1);
    expect(scene.supervisor.daemon("alice/web")?.state).toMatchObject({ phase: "failed", last: { permanent: true } });
  });

  test("finish also runs after a run that an earlier supervisor started", async () => {
    const scene = new Scene();
    await scene.load("web", { service });
    scene.replace();
    scene.ports.runs.latest.end({ code: 4 });
    await scene.ports.clock.advance(300);
    expect(scene.ports.runs.finishes).toHaveLength(1);
  });
});
