import { expect, test } from "vitest";
import type { Replacement } from "./ports/ports.fake.ts";
import { Scene } from "./scene.fake.ts";

const exited = async (how: Replacement = "killed", definition = {}) => {
  const scene = new Scene();
  const daemon = await scene.load("web", definition);
  await scene.after(200, scene.supervisor.exit(daemon));
  scene.ports.records.flush();
  scene.replace(how);
  await scene.ports.clock.advance(500);
  return scene;
};
const known = (scene: Scene) => scene.supervisor.daemon("alice/web")?.state.phase;

test.each(["killed", "killed at once", "with the shim"] as const)(
  "a daemon that exited stays away for the supervisor after one that was %s, until a requested rescan",
  async (how) => {
    const scene = await exited(how, { listen: "fastcgi", instances: 2 });
    expect([known(scene), scene.ports.runs.live, scene.ports.sockets.current]).toEqual([undefined, [], undefined]);
    scene.replace(how);
    scene.ports.confs.change("alice");
    expect(known(scene)).toBeUndefined();
    expect(scene.rescan().found).toEqual(["alice/web"]);
    await scene.ports.clock.advance(500);
    expect(known(scene)).toBe("running");
    scene.replace(how);
    await scene.ports.clock.advance(500);
    expect(known(scene)).toBe("running");
  },
);

test("the next supervisor reads conf files at its start without forgetting exits, however often", async () => {
  const scene = new Scene();
  await scene.after(200, scene.supervisor.exit(await scene.load("web")));
  scene.ports.replace("killed");
  const next = scene.supervise();
  for (const _ of [1, 2]) expect(next.rescan(["alice"], false).found).toEqual([]);
  expect(next.rescan(["alice"]).found).toEqual(["alice/web"]);
});

test("an exit under way is completed by the next supervisor", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web");
  scene.ports.runs.latest.slowness = 50;
  void scene.supervisor.exit(daemon);
  scene.ports.records.flush();
  scene.replace();
  expect(known(scene)).toBe("stopping");
  await scene.ports.clock.advance(500);
  expect([known(scene), scene.ports.runs.live]).toEqual([undefined, []]);
  scene.replace();
  expect(known(scene)).toBeUndefined();
});

test("an exit that a rescan or a start overtakes is forgotten by the next supervisor as well", async () => {
  for (const overtake of ["rescan", "start"] as const) {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 50;
    void scene.supervisor.exit(daemon);
    if (overtake === "rescan") scene.rescan();
    else void scene.supervisor.start(daemon);
    scene.ports.records.flush();
    scene.replace();
    await scene.ports.clock.advance(500);
    expect(known(scene)).toBe(overtake === "rescan" ? "stopped" : "running");
  }
});

test("a supervisor that stops all daemons forgets exits, like stops", async () => {
  const scene = await exited();
  await scene.supervisor.shutdown();
  expect(scene.ports.records.daemons("alice")).toEqual([]);
});

test("what is left of a daemon that exited and whose conf file is gone is removed", async () => {
  const scene = new Scene();
  await scene.after(200, scene.supervisor.exit(await scene.load("web")));
  scene.ports.confs.remove("alice", "web");
  scene.replace();
  expect(scene.ports.records.daemons("alice")).toEqual([]);
});
