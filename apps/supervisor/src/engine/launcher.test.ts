import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a standby launch", () => {
  test("a standby launch is taken over by the next run, for which the present limits are enforced first", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", memory: 64 << 20 });
    const [standby] = scene.ports.runs.standbys;
    scene.ports.limits.applied.length = 0;
    scene.ports.runs.latest.end({ code: 0 });
    await scene.ports.clock.advance(1000);
    expect([daemon.state.run, scene.ports.runs.latest.trace.cgroup]).toEqual([2, standby?.cgroup]);
    expect(scene.ports.limits.applied[0]?.settings.daemon).toContainEqual(["memory.max", `${64 << 20}`]);
  });

  test("a standby launch is prepared where clients wait at a socket only: for listen=fastcgi, not for listen=path or without a socket", async () => {
    for (const [listen, count] of [
      ["fastcgi", 1],
      ["path", 0],
      ["none", 0],
    ] as const) {
      const scene = new Scene();
      await scene.load("web", { listen });
      expect([listen, scene.ports.runs.standbys.size]).toEqual([listen, count]);
    }
  });

  test("a standby launch is not prepared for a daemon that runs on demand, which a client starts", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", ondemand: true });
    await scene.after(200, scene.supervisor.once(daemon));
    expect([daemon.state.phase, scene.ports.runs.standbys.size]).toEqual(["running", 0]);
  });

  test("a standby launch is prepared for four instances at most", async () => {
    const scene = new Scene();
    await scene.load("web", { listen: "fastcgi", instances: 6 });
    expect([scene.ports.runs.live.length, scene.ports.runs.standbys.size]).toEqual([6, 4]);
  });

  test("a standby launch that cannot be prepared disturbs nothing", async () => {
    const scene = new Scene();
    scene.ports.runs.born = () => {
      scene.ports.limits.error = new Error("EBUSY");
    };
    const daemon = await scene.load("web", { listen: "fastcgi" });
    expect([daemon.state.phase, scene.ports.runs.standbys.size]).toEqual(["running", 0]);
  });
});

describe("a launch", () => {
  test("a launch gets the log of its daemon, and none with output=discard although the former log is still open", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { output: "log" });
    expect(scene.ports.runs.latest.output).toBe(scene.ports.logs.current?.descriptor);
    scene.ports.confs.write("alice", "web", { output: "discard" });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(scene.ports.runs.latest.output).toBeUndefined();
  });

  test("a launch is followed by finish in a cgroup of that name", async () => {
    const scene = new Scene();
    await scene.load("web", { service: { directory: "/home/alice/service/web", finish: true, contents: "" } });
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(5);
    expect(scene.ports.limits.made).toContain("/cgroup/alice/web.d/finish");
    expect(scene.ports.runs.finishes).toHaveLength(1);
  });
});

test("a start with a corrected file while the last run is ending succeeds at once, without the standby launch", async () => {
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
  expect(scene.ports.runs.latest.plan?.argv).toContain("right");
  expect(scene.ports.limits.made.map((group) => group.slice(group.lastIndexOf("/") + 1))).toEqual(["1", "2", "2", "3"]);
});

test("a respawn that has another plan than its standby launch starts from the beginning and is no failure", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi" });
  const instance = daemon.representative;
  if (instance.terms) instance.terms = { ...instance.terms, definition: { ...instance.terms.definition, nice: 5 } };
  scene.ports.runs.latest.end({ code: 1 });
  await scene.ports.clock.advance(500);
  expect(daemon.state).toMatchObject({ phase: "running", run: 2, failures: 1 });
  expect(scene.ports.runs.all).toHaveLength(2);
  expect(scene.ports.runs.standbys.size).toBe(1);
});

test("a standby launch that has another socket than its run does not become that run", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi" });
  const socket = scene.ports.sockets.current;
  if (socket) socket.file += 1000;
  scene.ports.runs.latest.end({ code: 1 });
  await scene.ports.clock.advance(500);
  expect(daemon.state).toMatchObject({ phase: "running", run: 2 });
  expect(scene.ports.limits.made).toHaveLength(4);
});
