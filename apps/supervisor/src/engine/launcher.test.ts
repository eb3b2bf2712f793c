import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a launch", () => {
  test("a launch gets the log of its daemon, and none with output=discard although the former log is still open", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    expect(scene.ports.runs.latest.output).toBe(scene.ports.logs.current);
    scene.ports.confs.write("alice", "web", { output: "discard" });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(scene.ports.runs.latest.output).toBeUndefined();
  });

  test("a launch is followed by finish in a cgroup of that name", async () => {
    const scene = new Scene();
    await scene.load("web", { service: { directory: "/home/alice/service/web", finish: true, contents: "" } });
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(5);
    expect(scene.ports.limits.made).toContain("/cgroup/alice/web.d/1-finish");
    expect(scene.ports.runs.finishes).toHaveLength(1);
  });
});

test("a start with a corrected file while the last run is ending succeeds at once", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", start: "exec wrong", maxRetries: 0 });
  const wrong = scene.ports.runs.latest;
  wrong.end({ code: 1 }, true);
  await scene.ports.clock.advance(1);
  scene.ports.confs.write("alice", "web", { listen: "fastcgi", start: "exec right", maxRetries: 0 });
  const start = scene.supervisor.start(daemon);
  wrong.vanish();
  expect(await scene.after(500, start)).toEqual({ ok: true });
  expect(daemon.state).toMatchObject({ phase: "running", run: 2, failures: 0 });
  expect(scene.ports.runs.latest.plan?.start).toBe("exec right");
  expect(scene.ports.limits.made.map((group) => group.slice(group.lastIndexOf("/") + 1))).toEqual(["1-1", "1-2"]);
});
