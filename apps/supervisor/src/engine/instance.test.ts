import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("the record of an instance", () => {
  test("an instance that is dropped leaves no record, although its log changes later", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    const log = scene.ports.logs.current;
    await scene.after(200, scene.supervisor.exit(daemon));
    log?.replaced();
    await scene.ports.clock.advance(1);
    expect(scene.ports.records.daemons("alice")).toEqual([]);
  });

  test("a retired instance that had no run leaves no record", async () => {
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
