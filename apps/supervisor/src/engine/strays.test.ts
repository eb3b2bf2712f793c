import { expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

test("runs, records and sockets of an earlier supervisor without a conf file are removed at the start", async () => {
  const scene = new Scene();
  await scene.load("kept");
  await scene.load("lost", { listen: "fastcgi" });
  const lost = scene.ports.runs.latest;
  scene.ports.confs.remove("alice", "lost");
  scene.replace();
  expect(lost.exists).toBe(false);
  expect(scene.ports.runs.strays).toEqual([`alice/lost ${lost.pid}`]);
  expect(scene.ports.sockets.strays).toEqual(["alice/lost", "/run/fastcgi/alice/lost.sock"]);
  expect(scene.ports.records.daemons("alice")).toEqual(["kept"]);
});

test("a run that neither a record nor the shim knows is killed by its cgroup, and no cgroup in use is", async () => {
  const scene = new Scene();
  const daemon = await scene.load("web", { autostart: false });
  const kept = await scene.load("kept", { listen: "fastcgi", output: "log/run" });
  void scene.supervisor.start(daemon);
  const orphan = scene.ports.runs.latest;
  scene.ports.records.flush();
  scene.ports.records.removeAll("alice", "web");
  orphan.isOver = true;
  scene.replace("killed");
  expect(orphan.exists).toBe(false);
  expect(scene.daemon("web").state.phase).toBe("stopped");
  expect(scene.daemon("kept").pid).toBe(kept.pid);
  expect([...(scene.ports.limits.used ?? [])]).toEqual(["/cgroup/alice/kept.d/log", "/cgroup/alice/kept.d/1-1"]);
});

test("a record without a run is removed with its daemon", async () => {
  const scene = new Scene();
  await scene.load("idle", { autostart: false });
  await scene.after(100, scene.supervisor.stop(scene.daemon("idle")));
  scene.ports.confs.remove("alice", "idle");
  scene.replace();
  expect(scene.ports.records.daemons("alice")).toEqual([]);
  expect(scene.ports.runs.strays).toEqual([]);
});

test("a stray that cannot be removed is a problem, and the others are removed", async () => {
  const scene = new Scene();
  await scene.load("lost");
  scene.ports.confs.write("bob", "lost");
  scene.rescan();
  await scene.ports.clock.advance(200);
  scene.ports.confs.remove("alice", "lost");
  scene.ports.confs.remove("bob", "lost");
  scene.ports.replace("killed");
  scene.ports.records.unreadable.add("alice");
  const next = scene.supervise();
  expect(next.removeStrays()).toEqual([
    "removing what an earlier supervisor left of alice/lost: EIO: input/output error",
  ]);
  expect(scene.ports.records.daemons("alice")).toEqual(["lost"]);
  expect(scene.ports.records.daemons("bob")).toEqual([]);
});

test.each(["complete", "unreadable"] as const)(
  "daemons of an owner whose directories could not be listed (%s) go on, and are known when they can be",
  async (how) => {
    const scene = new Scene();
    const running = await scene.load("running", { listen: "fastcgi" });
    await scene.load("stopped");
    await scene.load("removed");
    await scene.after(200, scene.supervisor.stop(scene.daemon("stopped")));
    const { pid } = running;
    scene.ports.confs.remove("alice", "removed");
    const hide = (hidden: boolean): void => {
      if (how === "complete") scene.ports.confs.complete = !hidden;
      else if (hidden) scene.ports.confs.unreadable.add("alice");
      else scene.ports.confs.unreadable.delete("alice");
    };
    const files = ["running", "stopped"].map((name) => scene.ports.confs.has("alice", name));
    for (const name of ["running", "stopped"]) scene.ports.confs.remove("alice", name);
    hide(true);
    scene.replace();
    await scene.ports.clock.advance(25_000);
    expect(scene.ports.runs.live.map(({ daemon }) => daemon)).toEqual(["alice/running", "alice/removed"]);
    expect(scene.ports.sockets.strays).toEqual([]);
    hide(false);
    for (const file of files) if (file) scene.ports.confs.put("alice", file.name, file);
    await scene.ports.clock.advance(10_000);
    expect(scene.daemon("running").pid).toBe(pid);
    expect(scene.daemon("stopped").state.phase).toBe("stopped");
    expect(scene.ports.runs.live.map(({ daemon }) => daemon)).toEqual(["alice/running"]);
    expect(scene.ports.records.daemons("alice")).toEqual(["running", "stopped"]);
  },
);

test("what nobody knows because its owner's directories could not be listed ends with the supervisor", async () => {
  const scene = new Scene();
  await scene.load("running", { listen: "fastcgi" });
  scene.ports.confs.remove("alice", "running");
  scene.ports.confs.complete = false;
  scene.replace();
  await scene.after(
    1000,
    scene.supervisor.shutdown().then(() => ({ ok: true })),
  );
  expect(scene.ports.runs.live).toEqual([]);
  expect(scene.ports.records.daemons("alice")).toEqual(["running"]);
});

test("what nobody knows of an owner ends when the policy no longer lets the owner run daemons", async () => {
  const scene = new Scene();
  await scene.load("running");
  scene.ports.confs.complete = false;
  scene.ports.confs.remove("alice", "running");
  scene.replace();
  expect(scene.ports.runs.live).toHaveLength(1);
  scene.reload({ runsAs: { bob: [] } });
  await scene.ports.clock.advance(100);
  expect(scene.ports.runs.live).toEqual([]);
});
