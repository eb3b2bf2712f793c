import { expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

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
