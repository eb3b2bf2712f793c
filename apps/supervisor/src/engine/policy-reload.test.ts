import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a policy reload", () => {
  test("a daemon is unblocked when the policy permits it again while a former run is draining", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    scene.ports.runs.all
      .filter(({ instance }) => instance === 2)
      .forEach((run) => {
        run.client = true;
        run.obedient = false;
      });
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    scene.reload({ runsAs: { bob: [] } });
    await scene.ports.clock.advance(10);
    scene.reload();
    await scene.ports.clock.advance(500);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "stopping"]);
  });

  test.each([
    ["goes to sleep", { ondemand: true, idleTimeout: 1000 }, (scene: Scene) => scene.ports.clock.advance(3000)],
    ["was replaced", {}, (scene: Scene) => scene.after(2000, scene.supervisor.restart(scene.daemon("web")))],
    ["is no longer needed", {}, (scene: Scene) => scene.after(10, scene.supervisor.scale(scene.daemon("web"), 1))],
  ])("a run that %s is terminated when the policy forbids its daemon while it drains", async (_, keys, begin) => {
    const scene = new Scene();
    await scene.load("web", { listen: "fastcgi", instances: 2, drain: 3_600_000, stopTimeout: 2000, ...keys });
    const socket = scene.ports.sockets.current;
    if (socket?.connect(1)) socket.accept();
    await scene.ports.clock.advance(200);
    const runs = scene.ports.runs.live;
    for (const run of runs) run.obedient = false;
    await begin(scene);
    const draining = runs.filter(({ received }) => received.includes("drain"));
    expect(draining.length).toBeGreaterThan(0);
    scene.reload({ runsAs: { bob: [] } });
    await scene.ports.clock.advance(1900);
    expect(draining.every(({ exists }) => exists)).toBe(true);
    await scene.ports.clock.advance(500);
    expect(scene.ports.runs.live).toEqual([]);
  });
});
