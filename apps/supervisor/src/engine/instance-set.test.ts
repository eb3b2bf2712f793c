import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { Scene } from "./scene.fake.ts";

/** A daemon with three instances that ignore TERM. */
const stubborn = async (definition: Partial<Definition> = {}) => {
  const scene = new Scene();
  scene.ports.runs.born = (run) => {
    run.obedient = false;
  };
  const daemon = await scene.load("web", { listen: "fastcgi", instances: 3, stopTimeout: 5000, ...definition });
  const numbers = () => scene.ports.runs.live.map(({ instance }) => instance);
  return { scene, daemon, numbers };
};

describe("the number of live runs", () => {
  test("a start during a stop adds instances only as retiring runs end, and answers when all run", async () => {
    const { scene, daemon, numbers } = await stubborn({ instances: 1 });
    await scene.after(200, scene.supervisor.scale(daemon, 3));
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 3, stopTimeout: 5000 });
    void scene.supervisor.stop(daemon);
    const start = scene.supervisor.start(daemon);
    const states = () => daemon.instances().map(({ key, state }) => `${key.instance} ${state.phase}`);
    expect(states()).toEqual(["1 stopping", "2 stopping", "3 stopping", "4 starting"]);
    expect(await scene.after(1000, start)).toBeUndefined();
    expect(numbers()).toEqual([1, 2, 3, 4]);
    expect(await scene.after(5000, start)).toEqual({ ok: true });
    expect(states().map((text) => text.replace(/\d+ /, ""))).toEqual(["running", "running", "running"]);
  });

  test("an instance that waited for room ends for good where a run by once was requested", async () => {
    const { scene, daemon } = await stubborn({ instances: 1 });
    await scene.after(200, scene.supervisor.scale(daemon, 3));
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 3, stopTimeout: 5000 });
    void scene.supervisor.stop(daemon);
    expect(await scene.after(6000, scene.supervisor.once(daemon))).toEqual({ ok: true });
    expect(daemon.instances().map(({ state }) => [state.phase, state.once])).toEqual([
      ["running", true],
      ["running", true],
      ["running", true],
    ]);
  });

  test("scale waits for draining runs before it starts more than the size and one", async () => {
    const { scene, daemon, numbers } = await stubborn();
    for (const run of scene.ports.runs.live) run.client = true;
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    const scale = scene.supervisor.scale(daemon, 3);
    expect(await scene.after(1000, scale)).toBeUndefined();
    expect(numbers()).toEqual([1, 2, 3, 4]);
    for (const run of scene.ports.runs.live) if ([2, 3].includes(run.instance)) run.kill();
    expect(await scene.after(1000, scale)).toEqual({ ok: true });
    expect(numbers()).toHaveLength(3);
  });

  test("instances that scale adds to a forbidden daemon start when it is permitted", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    scene.reload({ runsAs: { bob: [] } });
    await scene.ports.clock.advance(200);
    await scene.after(200, scene.supervisor.scale(daemon, 2));
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["forbidden"]);
    scene.reload();
    await scene.ports.clock.advance(200);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "running"]);
  });

  test("instances that a changed conf file adds to a daemon in its back-off start with the others", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    for (let crash = 0; crash < 3; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(crash === 2 ? 5 : 1000);
    }
    expect(daemon.state.phase).toBe("coolingdown");
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 2 });
    scene.rescan();
    await scene.ports.clock.advance(2000);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "running"]);
  });

  test("a rolling restart starts no candidate beside a draining run and an instance in its back-off", async () => {
    const { scene, daemon, numbers } = await stubborn({ instances: 2, drain: 60_000, healthyAfter: 60_000 });
    await scene.after(200, scene.supervisor.scale(daemon, 3));
    scene.ports.runs.latest.client = true;
    await scene.after(10, scene.supervisor.scale(daemon, 2));
    for (let crash = 0; crash < 5; crash += 1) {
      scene.ports.runs.live.find(({ instance }) => instance === 2)?.end({ code: 1 });
      await scene.ports.clock.advance(crash === 4 ? 5 : 2000);
    }
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "coolingdown", "stopping"]);
    const [first] = daemon.instances();
    void scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(100);
    expect(numbers().length).toBeLessThanOrEqual(3);
    expect(first?.state.phase).toBe("running");
  });
});

describe("the representative instance", () => {
  test("an active instance represents the daemon before a retiring one of the same phase", async () => {
    const { scene, daemon } = await stubborn({ instances: 2, rolling: false });
    const [first] = daemon.instances();
    if (first) first.retiring = true;
    expect(daemon.representative.key.instance).toBe(2);
    void scene.supervisor.stop(daemon);
    expect(daemon.representative.key.instance).toBe(2);
  });
});
