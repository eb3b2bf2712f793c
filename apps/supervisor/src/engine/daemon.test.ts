import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a daemon", () => {
  test("a daemon starts, runs once it has settled, and stops", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    const start = scene.supervisor.start(daemon);
    expect(daemon.state.phase).toBe("starting");
    expect(await scene.after(200, start)).toEqual({ ok: true });
    expect(daemon.state.phase).toBe("running");
    expect(await scene.after(200, scene.supervisor.stop(daemon))).toEqual({ ok: true });
    expect([daemon.state.phase, daemon.pid, scene.ports.runs.live]).toEqual(["stopped", 0, []]);
  });

  test("a daemon restarts with a growing delay after consecutive failures, and from 0 after a stop", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const delays: number[] = [];
    for (let crash = 0; crash < 5; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(2);
      delays.push((daemon.state.deadline ?? 0) - scene.ports.clock.now());
      await scene.ports.clock.advance(2000);
    }
    expect(delays.slice(1)).toEqual([199, 399, 799, 1599]);
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(daemon.state).toMatchObject({ failures: 0, respawns: 0 });
  });

  test("a daemon fails after max-retries failed runs", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { maxRetries: 1, output: "log" });
    for (let crash = 0; crash < 2; crash += 1) {
      scene.ports.runs.latest.end({ signal: "SIGSEGV" });
      await scene.ports.clock.advance(200);
    }
    expect(daemon.state).toMatchObject({ phase: "failed", want: "up" });
    expect(scene.ports.logs.current).toBeUndefined();
  });

  test("a daemon is not restarted after exit code 100 until a start is requested", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.end({ code: 100 });
    await scene.ports.clock.advance(60_000);
    expect(daemon.state.phase).toBe("failed");
    expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({ ok: true });
  });

  test("a daemon shows the phase of its most alive instance", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2, maxRetries: 0 });
    scene.ports.runs.all[0]?.end({ code: 1 });
    await scene.ports.clock.advance(200);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["failed", "running"]);
    expect([daemon.state.phase, daemon.pid, daemon.representative.key.instance]).toEqual([
      "running",
      scene.ports.runs.all[1]?.pid,
      2,
    ]);
  });

  test("a daemon reports what its instances use, and signals their main processes", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    expect(daemon.signal(1)).toBe(true);
    expect(scene.ports.runs.live.map(({ received }) => received)).toEqual([["main 1"], ["main 1"]]);
    expect(daemon.instances().map((one) => [one.usage()?.processes, one.size(0)])).toEqual([
      [1, 1 << 20],
      [1, 1 << 20],
    ]);
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(daemon.signal(1)).toBe(false);
    expect(daemon.instances().map((one) => [one.usage(), one.size(0), one.serves()])).toEqual([
      [undefined, undefined, false],
      [undefined, undefined, false],
    ]);
  });

  test("a daemon names the cgroups that it uses", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", output: "log/run" });
    expect(daemon.groups()).toEqual(["/cgroup/alice/web.d/log", "/cgroup/alice/web.d/1-1"]);
    scene.ports.limits.groups = false;
    expect((await scene.load("other", { output: "log/run" })).groups()).toEqual([]);
  });
});

describe("the limits of a daemon", () => {
  test("a daemon without terms has no limits, and stays as it is when limits change", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { user: "bob" });
    expect([daemon.limits, daemon.memoryLimit, daemon.logDirectory]).toEqual([[], undefined, undefined]);
    daemon.applyLimits();
    expect(scene.ports.limits.applied).toEqual([]);
  });

  test("a daemon has room for each live run, and no more once one has ended", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", memory: 10 << 20 });
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(500);
    expect(daemon.memoryLimit).toBe(20 << 20);
    await scene.after(2000, restart);
    expect(daemon.memoryLimit).toBe(10 << 20);
    expect(scene.ports.limits.applied.at(-1)?.settings.daemon).toContainEqual(["memory.max", `${10 << 20}`]);
  });

  test("an error while limits are narrowed does not disturb the remaining runs", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(200);
    scene.ports.runs.latest.end({ code: 1 });
    scene.ports.limits.error = new Error("EBUSY");
    await scene.ports.clock.advance(50);
    expect([scene.ports.limits.error, daemon.instances()[1]?.state.phase]).toEqual([undefined, "coolingdown"]);
    await scene.ports.clock.advance(500);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "running"]);
  });

  test("a changed budget applies to live runs, and an error waits for the next launch", async () => {
    const scene = new Scene();
    await scene.load("web");
    scene.reload({ limits: { alice: { memory: 32 << 20 } } });
    expect(scene.ports.limits.applied.at(-1)?.settings.owner).toContainEqual(["memory.max", `${32 << 20}`]);
    scene.ports.limits.error = new Error("EBUSY");
    scene.reload({ limits: { alice: { memory: 64 << 20 } } });
    expect(scene.daemon("web").state.phase).toBe("running");
  });

  test("limits show what enforces them, and that a run started with others", async () => {
    const scene = new Scene();
    scene.ports.machine.means = { controllers: new Set(), why: "no cgroups" };
    const daemon = await scene.load("web", { processes: 10 });
    scene.ports.confs.write("alice", "web", { processes: 20 });
    scene.rescan();
    expect(daemon.limits).toMatchObject([{ key: "processes", value: "20", by: "rlimit", pending: true }]);
    expect(daemon.changed).toBe(true);
    expect(daemon.means.why).toBe("no cgroups");
  });
});
