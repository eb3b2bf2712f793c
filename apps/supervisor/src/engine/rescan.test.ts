import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";

describe("a rescan", () => {
  test("new daemons are found, and those with autostart are started", async () => {
    const scene = new Scene();
    scene.ports.confs.write("alice", "web");
    scene.ports.confs.write("bob", "manual", { autostart: false });
    scene.ports.confs.put("bob", "odd", { errors: ["odd.conf:1: wrong"], warnings: ["odd.conf:2: ignored"] });
    scene.ports.confs.problems.push("/home/bob: EACCES");
    const report = scene.rescan();
    expect(report).toMatchObject({
      found: ["alice/web", "bob/manual", "bob/odd"],
      started: ["alice/web"],
      changed: [],
      removed: [],
      warnings: ["odd.conf:2: ignored"],
    });
    expect(report.problems).toContain("/home/bob: EACCES");
    expect(report.problems).toContain("odd.conf:1: wrong");
  });

  test("only the conf directories of the named owners are read", async () => {
    const scene = new Scene();
    scene.ports.confs.write("alice", "web");
    scene.ports.confs.write("bob", "web");
    expect(scene.supervisor.rescan(["bob", "mallory"]).found).toEqual(["bob/web"]);
  });

  test("a changed conf file marks a running daemon and applies to its next start", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { start: "exec one" });
    scene.ports.confs.write("alice", "web", { start: "exec two" });
    expect(scene.rescan().changed).toEqual(["alice/web"]);
    expect([daemon.changed, daemon.terms?.definition.start]).toEqual([true, "exec one"]);
    await scene.after(500, scene.supervisor.restart(daemon));
    expect([daemon.changed, daemon.terms?.definition.start]).toEqual([false, "exec two"]);
    expect(scene.rescan().changed).toEqual([]);
  });

  test("a changed conf file applies to a stopped daemon at once, without starting it", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.confs.write("alice", "web", { start: "exec two" });
    scene.rescan();
    expect(daemon.terms?.definition.start).toBe("exec two");
    expect(daemon.state.phase).toBe("stopped");
  });

  test("a conf file that becomes valid starts its daemon; one that becomes invalid does not stop it", async () => {
    const scene = new Scene();
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    scene.rescan();
    scene.ports.confs.write("alice", "web");
    expect(scene.rescan().started).toEqual(["alice/web"]);
    await scene.ports.clock.advance(200);
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:2: wrong"] });
    scene.rescan();
    expect(scene.daemon("web").state.phase).toBe("running");
  });

  test("a conf file that becomes valid unblocks the instances that it had blocked beside a live one", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    for (let crash = 0; crash < 2; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(crash === 0 ? 200 : 10);
    }
    expect(daemon.instances()[1]?.state.phase).toBe("coolingdown");
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    scene.replace();
    scene.reload();
    expect(
      scene
        .daemon("web")
        .instances()
        .map(({ state }) => state.phase),
    ).toEqual(["running", "invalid"]);
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 2 });
    scene.rescan();
    await scene.ports.clock.advance(500);
    expect(
      scene
        .daemon("web")
        .instances()
        .map(({ state }) => state.phase),
    ).toEqual(["running", "running"]);
  });

  test("changed limits apply to a running daemon without a restart", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { memory: 64 << 20 });
    scene.ports.confs.write("alice", "web", { memory: 32 << 20 });
    scene.rescan();
    expect(daemon.changed).toBe(false);
    expect(daemon.memoryLimit).toBe(32 << 20);
    expect(scene.ports.limits.applied.at(-1)?.settings.daemon).toContainEqual(["memory.max", `${32 << 20}`]);
    expect(daemon.state.run).toBe(1);
  });

  test("limits that cannot be changed are a problem with the conf file's path", async () => {
    const scene = new Scene();
    await scene.load("web", { memory: 64 << 20 });
    scene.ports.confs.write("alice", "web", { memory: 32 << 20 });
    scene.ports.limits.error = new Error("EBUSY");
    expect(scene.rescan().problems).toEqual([
      "/home/alice/.daemon-manager/daemons/web.conf: cannot change the limits of its runs: EBUSY; restart it",
    ]);
  });

  test("a changed conf file that the policy forbids changes no limits of the run", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { memory: 64 << 20 });
    scene.ports.confs.write("alice", "web", { memory: 32 << 20, user: "bob" });
    scene.rescan();
    expect(daemon.memoryLimit).toBe(64 << 20);
  });

  test("a daemon without a conf file is dropped once it has stopped, and reported once", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.confs.remove("alice", "web");
    expect(scene.rescan().removed).toEqual(["alice/web"]);
    expect(scene.rescan().removed).toEqual([]);
    expect(daemon.state.phase).toBe("running");
    await scene.after(200, scene.supervisor.stop(daemon));
    expect([scene.supervisor.daemons(), scene.supervisor.daemonsOf(["alice"])]).toEqual([[], []]);
  });

  test("a stopped daemon without a conf file is dropped at once", async () => {
    const scene = new Scene();
    await scene.load("web", { autostart: false });
    scene.ports.confs.remove("alice", "web");
    scene.rescan();
    expect(scene.supervisor.daemon("alice/web")).toBeUndefined();
  });

  test("no daemon is dropped while its directory cannot be listed, or its file is passed over", async () => {
    const scene = new Scene();
    await scene.load("web", { autostart: false });
    scene.ports.confs.remove("alice", "web");
    scene.ports.confs.complete = false;
    expect(scene.rescan().removed).toEqual([]);
    scene.ports.confs.complete = true;
    scene.ports.confs.write("alice", "web");
    scene.ports.confs.most = 0;
    expect(scene.rescan().removed).toEqual([]);
  });

  test("a daemon that exited is loaded again by a requested rescan, not by a change of its directory", async () => {
    const scene = new Scene();
    await scene.after(200, scene.supervisor.exit(await scene.load("web")));
    scene.ports.confs.change("alice");
    expect(scene.supervisor.daemon("alice/web")).toBeUndefined();
    expect(scene.supervisor.rescan(["bob"]).found).toEqual([]);
    expect(scene.supervisor.rescan(["alice"]).found).toEqual(["alice/web"]);
  });

  test("a change of a directory is found without a request, until the supervisor is shutting down", async () => {
    const scene = new Scene();
    await scene.load("web");
    scene.ports.confs.write("alice", "more");
    scene.ports.confs.change("alice");
    expect(scene.daemon("more").state.phase).toBe("starting");
    void scene.supervisor.shutdown();
    scene.ports.confs.write("alice", "late");
    scene.ports.confs.change("alice");
    expect(scene.rescan().found).toEqual([]);
    expect(scene.supervisor.daemon("alice/late")).toBeUndefined();
  });

  test("files of an owner that cannot be read are a problem, and touch no other owner's daemon", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.confs.unreadable.add("alice");
    scene.ports.confs.write("bob", "web");
    const report = scene.rescan();
    expect(report.found).toEqual(["bob/web"]);
    expect(report.problems).toEqual(["reading the conf files of alice: EIO: input/output error"]);
    expect([daemon.removed, daemon.state.phase, scene.ports.confs.watches("alice")]).toEqual([false, "running", true]);
  });

  test("records of an owner that cannot be read are a problem, and touch no other owner's daemon", async () => {
    const scene = new Scene();
    await scene.load("web");
    scene.ports.confs.write("bob", "web");
    scene.rescan();
    scene.ports.records.unreadable.add("alice");
    scene.ports.replace("killed");
    const next = scene.supervise();
    expect(next.rescan(next.owners())).toMatchObject({
      found: ["alice/web", "bob/web"],
      problems: ["loading alice/web: EIO: input/output error"],
    });
    await scene.ports.clock.advance(200);
    expect(next.daemon("bob/web")?.state.phase).toBe("running");
  });

  test("daemons of this and of an earlier supervisor are read first where an owner has too many files", async () => {
    const scene = new Scene();
    for (const name of ["first", "second", "third"]) await scene.load(name);
    scene.ports.confs.remove("alice", "second");
    scene.ports.confs.write("alice", "second");
    scene.ports.confs.most = 2;
    scene.ports.records.removeAll("alice", "first");
    scene.replace();
    expect(scene.supervisor.daemons().map(({ id }) => id)).toEqual(["alice/second", "alice/third"]);
    scene.ports.confs.remove("alice", "third");
    scene.rescan();
    scene.ports.confs.remove("alice", "first");
    scene.ports.confs.write("alice", "third");
    scene.ports.confs.write("alice", "first");
    expect(scene.rescan().found).toEqual([]);
  });

  test("the directories that the policy names are read and watched", async () => {
    const scene = new Scene();
    await scene.load("web");
    expect(scene.ports.confs.directories.get("alice")).toEqual(scene.inForce.policy.paths("alice"));
  });

  test.each([new Error("/home/alice: ENOSPC"), "/home/alice: ENOSPC"])(
    "a directory that cannot be watched is a problem",
    (error) => {
      const scene = new Scene();
      scene.ports.confs.watchError = error as Error;
      expect(scene.rescan().problems).toContain("/home/alice: ENOSPC");
    },
  );

  test("a daemon that has run before is not started when it is within the owner's number of daemons again", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 2 } } });
    await scene.load("first", { autostart: false });
    const second = await scene.load("second");
    await scene.after(200, scene.supervisor.stop(second));
    scene.reload({ limits: { alice: { daemons: 1 } } });
    expect(second.state.phase).toBe("forbidden");
    scene.ports.confs.remove("alice", "first");
    expect(scene.rescan()).toMatchObject({ removed: ["alice/first"], started: [] });
    expect(second.state.phase).toBe("stopped");
  });

  test("an owner whose account does not exist has no daemons", () => {
    const scene = new Scene({ uids: { alice: 1001, www: 1100 } });
    scene.ports.confs.write("root", "web");
    expect(scene.rescan().found).toEqual([]);
  });

  test("a daemon that the policy forbids is not started where the owner's number of daemons permits it", async () => {
    const scene = new Scene({ limits: { alice: { daemons: 5 } } });
    const daemon = await scene.load("web", { user: "bob" });
    expect(daemon.state.phase).toBe("forbidden");
    expect(scene.rescan().started).toEqual([]);
  });
});

test("directories of an owner who leaves the policy are no longer watched", async () => {
  const scene = new Scene();
  await scene.load("web");
  expect(scene.ports.confs.watches("alice")).toBe(true);
  scene.reload({ runsAs: { bob: ["www"] } });
  expect(scene.ports.confs.watches("alice")).toBe(false);
  scene.reload();
  scene.rescan();
  expect(scene.ports.confs.watches("alice")).toBe(true);
});
