import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import type { State } from "../core/lifecycle.ts";
import type { Replacement } from "./ports/ports.fake.ts";
import type { InstanceRecord } from "./ports/records.ts";
import { Scene } from "./scene.fake.ts";

const replaced = async (definition: Partial<Definition> = {}, how: Replacement = "killed") => {
  const scene = new Scene();
  const daemon = await scene.load("web", definition);
  const { pid } = daemon;
  /** Root removes the file of the daemon's socket. */
  const removeSocket = (): void => {
    const { current } = scene.ports.sockets;
    if (current) current.published = false;
  };
  return { scene, pid, removeSocket, replace: () => scene.replace(how) };
};

describe("the next supervisor", () => {
  test.each(["killed", "killed at once"] as const)(
    "the next supervisor adopts a live run of a supervisor that was %s",
    async (how) => {
      const { scene, pid, replace } = await replaced({ listen: "fastcgi", output: "log" }, how);
      replace();
      const daemon = scene.daemon("web");
      expect(daemon.state).toMatchObject({ phase: "running", run: 1 });
      expect(daemon.pid).toBe(pid);
      expect(scene.ports.sockets.current?.isNew).toBe(false);
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(300);
      expect(daemon.state).toMatchObject({ phase: "running", run: 2 });
    },
  );

  test("the next supervisor restarts a run that exited while no supervisor ran, and knows its exit code", async () => {
    const { scene, replace } = await replaced();
    scene.ports.runs.latest.end({ code: 0 });
    replace();
    await scene.ports.clock.advance(500);
    const last = { exit: { how: "code", code: 0 } };
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2, last });
  });

  test("the next supervisor kills what is left of a run whose main process has exited", async () => {
    const { scene, replace } = await replaced();
    const run = scene.ports.runs.latest;
    run.end({ code: 0 }, true);
    replace();
    await scene.ports.clock.advance(5);
    expect(run.exists).toBe(false);
  });

  test("the next supervisor continues a stop, and keeps a stopped daemon stopped", async () => {
    const { scene, replace } = await replaced();
    scene.ports.runs.latest.obedient = false;
    void scene.supervisor.stop(scene.daemon("web"));
    replace();
    expect(scene.daemon("web").state.phase).toBe("stopping");
    await scene.ports.clock.advance(11_000);
    expect(scene.daemon("web").state.phase).toBe("stopped");
    replace();
    await scene.ports.clock.advance(500);
    expect(scene.daemon("web").state.phase).toBe("stopped");
  });

  test("the next supervisor continues to drain a run", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi", instances: 2 });
    const run = scene.ports.runs.latest;
    run.client = true;
    await scene.after(5, scene.supervisor.scale(scene.daemon("web"), 1));
    replace();
    expect(run.exists).toBe(true);
    run.client = false;
    await scene.ports.clock.advance(5);
    expect([run.exists, scene.daemon("web").instances().length]).toEqual([false, 1]);
  });

  test("the next supervisor keeps a size that scale set", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi" });
    await scene.after(200, scene.supervisor.scale(scene.daemon("web"), 3));
    replace();
    expect([scene.daemon("web").size, scene.ports.runs.live.length]).toEqual([3, 3]);
  });

  test("the next supervisor keeps the number of instances until the next start, whatever the conf file says now", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi", instances: 2 });
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 3 });
    replace();
    const daemon = scene.daemon("web");
    expect([daemon.size, daemon.changed]).toEqual([2, true]);
    await scene.after(9000, scene.supervisor.restart(daemon));
    expect([daemon.size, daemon.changed, scene.ports.runs.live.length]).toEqual([3, false, 3]);
  });

  test("the next supervisor ends a candidate that has not replaced its instance", async () => {
    const { scene, pid, replace } = await replaced({ listen: "fastcgi" });
    void scene.supervisor.restart(scene.daemon("web"));
    await scene.ports.clock.advance(100);
    expect(scene.ports.runs.live).toHaveLength(2);
    replace();
    await scene.ports.clock.advance(100);
    expect(scene.ports.runs.live.map((run) => run.pid)).toEqual([pid]);
  });

  test("the next supervisor keeps a candidate whose instance has ended", async () => {
    const { scene, pid, replace } = await replaced({ listen: "fastcgi" });
    const [record] = scene.ports.records.recall({ owner: { name: "alice" }, name: "web" }).values();
    if (!record) throw new Error("no record");
    scene.ports.records.put("alice", "web", 1, { ...record, role: "candidate" });
    replace();
    const [instance] = scene.daemon("web").instances();
    expect([instance?.pid, instance?.candidate, instance?.state.phase]).toEqual([pid, false, "running"]);
  });

  test("the next supervisor lets an old run finish its requests beside the candidate that has replaced it", async () => {
    const { scene, pid, replace } = await replaced({ listen: "fastcgi" });
    const old = scene.ports.runs.find(pid);
    if (old) old.client = true;
    void scene.supervisor.restart(scene.daemon("web"));
    await scene.ports.clock.advance(1100);
    replace();
    expect(
      scene
        .daemon("web")
        .instances()
        .map(({ retiring }) => retiring),
    ).toEqual([true, false]);
    if (old) old.client = false;
    await scene.ports.clock.advance(100);
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([2]);
  });

  test("the next supervisor replaces runs whose socket was removed, the new ones first", async () => {
    const { scene, pid, removeSocket, replace } = await replaced({ listen: "fastcgi" });
    removeSocket();
    const old = scene.ports.runs.find(pid);
    if (old) old.client = true;
    replace();
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1, 2]);
    if (old) old.client = false;
    await scene.ports.clock.advance(200);
    expect(
      scene
        .daemon("web")
        .instances()
        .map(({ key, state }) => [key.instance, state.phase]),
    ).toEqual([[2, "running"]]);
  });

  test("the next supervisor starts one run beside several whose socket was removed, and the others as those end", async () => {
    const { scene, removeSocket, replace } = await replaced({ listen: "fastcgi", instances: 3, drain: 60_000 });
    removeSocket();
    const old = scene.ports.runs.live;
    for (const run of old) run.client = true;
    replace();
    await scene.ports.clock.advance(200);
    const states = () =>
      scene
        .daemon("web")
        .instances()
        .map(({ key, state }) => [key.instance, state.phase]);
    expect(states()).toEqual([
      [1, "stopping"],
      [2, "stopping"],
      [3, "stopping"],
      [4, "running"],
    ]);
    for (const run of old) run.client = false;
    await scene.ports.clock.advance(500);
    expect(states()).toEqual([
      [1, "running"],
      [2, "running"],
      [4, "running"],
    ]);
  });

  test("the next supervisor starts a run beside one whose socket was removed, although another run still drains", async () => {
    const { scene, removeSocket, replace } = await replaced({ listen: "fastcgi", drain: 60_000 });
    for (const run of scene.ports.runs.live) run.client = true;
    void scene.supervisor.restart(scene.daemon("web"));
    await scene.ports.clock.advance(1100);
    expect(scene.ports.runs.live).toHaveLength(2);
    for (const run of scene.ports.runs.live) run.client = true;
    removeSocket();
    replace();
    await scene.ports.clock.advance(500);
    const states = () =>
      scene
        .daemon("web")
        .instances()
        .map(({ key, state }) => [key.instance, state.phase]);
    expect(states()).toEqual([
      [1, "stopping"],
      [2, "stopping"],
      [3, "running"],
    ]);
    for (const run of scene.ports.runs.live) run.client = false;
    await scene.ports.clock.advance(500);
    expect(states()).toEqual([[3, "running"]]);
  });

  test("the next supervisor restarts in place a run with rolling=no whose socket was removed", async () => {
    const { scene, removeSocket, replace } = await replaced({ listen: "fastcgi", rolling: false });
    removeSocket();
    replace();
    await scene.ports.clock.advance(200);
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2 });
  });

  test.each([true, false])(
    "the next supervisor serves a socket that the one before it put in the place of a lost one (rolling: %s)",
    async (rolling) => {
      const { scene, pid, replace } = await replaced({ listen: "fastcgi", rolling });
      const { current } = scene.ports.sockets;
      if (current) current.file += 1000;
      replace();
      await scene.ports.clock.advance(500);
      expect(scene.ports.runs.live.map(({ trace }) => trace.socketFile)).toEqual([current?.file]);
      expect([scene.ports.sockets.current?.isNew, scene.ports.runs.find(pid)]).toEqual([false, undefined]);
    },
  );

  test("the next supervisor leaves a paused run alone whose socket was removed", async () => {
    const { scene, pid, removeSocket, replace } = await replaced({ listen: "fastcgi" });
    await scene.supervisor.pause(scene.daemon("web"));
    removeSocket();
    replace();
    await scene.ports.clock.advance(500);
    expect([scene.daemon("web").pid, scene.ports.sockets.current?.isNew]).toEqual([pid, true]);
  });

  test("the next supervisor starts a daemon although its shared resources could not be reopened, and reports that at the launch", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi" });
    scene.ports.sockets.error = new Error("EACCES");
    replace();
    expect(scene.daemon("web").state.phase).toBe("running");
    scene.ports.sockets.error = new Error("EACCES");
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(500);
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 3 });
  });

  test("the next supervisor learns that a run has become ready meanwhile", async () => {
    const { scene, replace } = await replaced({ ready: "notify", autostart: false });
    void scene.supervisor.start(scene.daemon("web"));
    await scene.ports.clock.advance(5);
    scene.ports.runs.forget();
    scene.ports.runs.latest.ready();
    replace();
    await scene.ports.clock.advance(5);
    expect(scene.daemon("web").state.phase).toBe("running");
  });

  test("the next supervisor keeps a run that waits for its lock", async () => {
    const { scene, replace } = await replaced({ lock: "/run/x", autostart: false });
    scene.ports.runs.born = (run) => {
      run.waits = true;
      run.wait("waits for the lock /run/x");
    };
    void scene.supervisor.start(scene.daemon("web"));
    await scene.ports.clock.advance(5);
    const { pid } = scene.daemon("web");
    replace();
    await scene.ports.clock.advance(5);
    expect([scene.daemon("web").pid, scene.daemon("web").waiting]).toEqual([pid, "waits for the lock /run/x"]);
    scene.ports.runs.latest.launched();
    await scene.ports.clock.advance(200);
    expect(scene.daemon("web").state.phase).toBe("running");
  });

  test.each([
    ["no record", () => undefined],
    [
      "a record of before its launch",
      (record: InstanceRecord) => ({ ...record, state: { ...record.state, run: 0, phase: "stopped" } as State }),
    ],
  ])("the next supervisor adopts a run that has %s", async (_, change) => {
    const { scene, pid, replace } = await replaced({ listen: "fastcgi" });
    const [record] = scene.ports.records.recall({ owner: { name: "alice" }, name: "web" }).values();
    if (!record) throw new Error("no record");
    scene.ports.records.flush();
    scene.ports.records.removeAll("alice", "web");
    const changed = change(record);
    if (changed) scene.ports.records.put("alice", "web", 1, changed);
    replace();
    await scene.ports.clock.advance(200);
    expect(scene.daemon("web")).toMatchObject({ pid, state: { phase: "running", run: 1 } });
  });

  test.each([
    ["no record", undefined],
    ["a record of before its launch", { phase: "stopped", want: "up", run: 0 } as const],
  ])("the next supervisor knows the exit code of a run that has ended and has %s", async (_, state) => {
    const { scene, replace } = await replaced();
    const [record] = scene.ports.records.recall({ owner: { name: "alice" }, name: "web" }).values();
    if (!record) throw new Error("no record");
    scene.ports.records.flush();
    scene.ports.records.removeAll("alice", "web");
    if (state) scene.ports.records.put("alice", "web", 1, { ...record, state: { ...record.state, ...state } });
    scene.ports.runs.latest.end({ code: 5 });
    replace();
    await scene.ports.clock.advance(500);
    const last = { run: 1, exit: { how: "code", code: 5 } };
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2, last });
  });

  test("the next supervisor does not bring back an instance that was dropped and whose exit is not acknowledged", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi" });
    await scene.after(500, scene.supervisor.restart(scene.daemon("web")));
    const { pid } = scene.daemon("web");
    scene.ports.runs.all.forEach((run) => {
      if (run.pid !== pid) run.isOver = false;
    });
    replace();
    await scene.ports.clock.advance(500);
    expect(
      scene
        .daemon("web")
        .instances()
        .map((each) => each.pid),
    ).toEqual([pid]);
  });

  test("the next supervisor without the former shim ends what that has left, and starts it again", async () => {
    const { scene, pid, replace } = await replaced({ listen: "fastcgi" }, "with the shim");
    replace();
    await scene.ports.clock.advance(500);
    expect(scene.ports.runs.find(pid)).toBeUndefined();
    expect(scene.ports.sockets.current?.isNew).toBe(true);
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2 });
  });

  test("the next supervisor continues to bound the directory of a run with listen=path", async () => {
    const { scene, replace } = await replaced({ listen: "path" });
    replace();
    const directory = scene.ports.sockets.directories.at(-1);
    directory?.listening.add(1);
    if (directory) directory.held = undefined;
    await scene.ports.clock.advance(2500);
    expect(directory?.publishedRun).toBe(1);
    if (directory) directory.held = "too many files";
    await scene.ports.clock.advance(1100);
    expect(scene.daemon("web").state.last?.exit.how).toBe("too-many-files");
  });

  test("the next supervisor loads a daemon without its record when all of its recorded instances were retiring", async () => {
    const { scene, replace } = await replaced({ listen: "fastcgi", ondemand: true });
    const [record] = scene.ports.records.recall({ owner: { name: "alice" }, name: "web" }).values();
    if (!record) throw new Error("no record");
    scene.ports.replace("killed");
    scene.ports.records.put("alice", "web", 1, { ...record, role: "retiring" });
    replace();
    expect(scene.daemon("web").state.phase).toBe("asleep");
  });

  test("the next supervisor keeps a live run whose conf file has become invalid", async () => {
    const { scene, pid, replace } = await replaced();
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    replace();
    expect([scene.daemon("web").pid, scene.daemon("web").terms]).toEqual([pid, undefined]);
    expect(scene.daemon("web").limits).toEqual([]);
  });
});
