import { describe, expect, test } from "vitest";
import { settled } from "./ports/clock.fake.ts";
import { inForceOf, Scene } from "./scene.fake.ts";
import { atOnce } from "./slices.ts";

describe("exit", () => {
  test("an exit does not drop the daemon that a rescan has loaded meanwhile", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    const exit = scene.supervisor.exit(daemon);
    scene.rescan();
    expect(await scene.after(100, exit)).toEqual({ ok: true });
    expect(scene.daemon("web")).not.toBe(daemon);
  });

  test("a daemon whose exit is overtaken by a start is restarted when it crashes", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 50;
    const exit = scene.supervisor.exit(daemon);
    const start = scene.supervisor.start(daemon);
    expect(await scene.after(500, start)).toEqual({ ok: true });
    expect(await exit).toMatchObject({ ok: false, reason: 'cannot stop "alice/web": a start was requested meanwhile' });
    for (let crash = 0; crash < 3; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(1000);
    }
    expect(scene.daemon("web").state.phase).toBe("running");
    scene.rescan();
    expect(scene.daemon("web")).toBe(daemon);
  });
});

describe("a supervisor that is killed", () => {
  test.each(["start", "stop", "restart"] as const)(
    "an acknowledged %s is known to the next supervisor, even if it was killed right after",
    async (verb) => {
      const scene = new Scene();
      const definition = { listen: "fastcgi", ondemand: true, autostart: verb === "stop" } as const;
      const daemon = await scene.load("web", definition);
      const outcome = scene.supervisor[verb](daemon);
      await settled();
      scene.replace("killed at once");
      expect(await outcome).toEqual({ ok: true });
      expect(scene.daemon("web").state.want).toBe(verb === "stop" ? "down" : "up");
    },
  );
});

test("a run that a requested rescan started is adopted, even if the supervisor was killed right after the rescan", async () => {
  const scene = new Scene();
  scene.ports.confs.write("alice", "web", { listen: "fastcgi" });
  scene.rescan();
  const { pid } = scene.daemon("web");
  scene.replace("killed at once");
  await scene.ports.clock.advance(200);
  expect(scene.daemon("web").pid).toBe(pid);
});

describe("a daemon whose accounts have other uids", () => {
  test("a daemon whose owner's uid has changed is not started until its old run has ended", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 50;
    scene.reload({ uids: { root: 0, alice: 1003, bob: 1002, www: 1100 } });
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      ok: false,
      reason: 'cannot start "alice/web": the uid of its account has changed; start it again when it has stopped',
    });
    await scene.ports.clock.advance(500);
    expect(scene.daemon("web").key.owner.uid).toBe(1003);
    expect(scene.daemon("web").state.phase).toBe("running");
  });
});

describe("scale", () => {
  test("new instances start where all active instances wait for their back-off and a former one is draining", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2, healthyAfter: 10_000 });
    const [first, second] = scene.ports.runs.live;
    if (second) second.client = true;
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    first?.end({ code: 1 });
    await scene.ports.clock.advance(5);
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(5);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["coolingdown", "stopping"]);
    const scale = scene.supervisor.scale(daemon, 2);
    expect(await scene.after(500, scale)).toEqual({ ok: true });
    expect(scene.ports.runs.live.map(({ instance }) => instance).sort()).toEqual([1, 2, 3]);
  });

  test("instances that are draining count towards the 512 that an owner may have", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    for (const size of [300, 1]) await scene.after(500, scene.supervisor.scale(daemon, size));
    scene.ports.runs.born = (run) => {
      run.client = true;
    };
    expect(await scene.after(500, scene.supervisor.scale(daemon, 300))).toEqual({ ok: true });
    await scene.after(500, scene.supervisor.scale(daemon, 1));
    expect(await scene.supervisor.scale(daemon, 300)).toMatchObject({
      ok: false,
      reason: expect.stringContaining(
        "may have 512 instances together; the others have 0, and 299 of this one are draining",
      ),
    });
  });
});

test("a run of an earlier supervisor that is forbidden, and permitted while it stops, is followed by one of its conf file", async () => {
  const scene = new Scene();
  await scene.load("web");
  scene.ports.confs.write("alice", "web", { user: "www" });
  scene.reload({ runsAs: { alice: [] } });
  scene.replace();
  expect(scene.daemon("web").state.phase).toBe("stopping");
  scene.reload();
  await scene.ports.clock.advance(500);
  expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2 });
  expect(scene.daemon("web").terms?.account.name).toBe("www");
});

describe("a conf file that was invalid when the supervisor was replaced", () => {
  test("a daemon restarts by its conf file once that is valid again", async () => {
    const scene = new Scene();
    await scene.load("web");
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    scene.replace();
    expect(scene.daemon("web").state.phase).toBe("running");
    scene.ports.confs.write("alice", "web");
    scene.rescan();
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(60_000);
    expect(scene.daemon("web").state).toMatchObject({ phase: "running", run: 2 });
  });
});

describe("requests", () => {
  test("a start of a running daemon succeeds and starts nothing", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    expect(await scene.after(5, scene.supervisor.start(daemon))).toEqual({ ok: true });
    expect(daemon.state.run).toBe(1);
  });

  test("a start reads the conf file again", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.confs.write("alice", "web", { start: "exec second" });
    await scene.after(200, scene.supervisor.start(daemon));
    expect(daemon.terms?.definition.start).toBe("exec second");
  });

  test("a start fails with the path of a conf file that does not exist", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.confs.remove("alice", "web");
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      ok: false,
      reason: 'cannot start "alice/web": its conf file /home/alice/.daemon-manager/daemons/web.conf does not exist',
    });
  });

  test("an invalid conf file blocks the start of a stopped daemon, and leaves a running one as it is", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.confs.put("alice", "web", { errors: ["web.conf:1: wrong"] });
    expect(await scene.supervisor.restart(daemon)).toEqual({
      ok: false,
      reason: 'cannot restart "alice/web": web.conf:1: wrong',
      ran: false,
    });
    expect(daemon.state).toMatchObject({ phase: "running", run: 1 });
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(await scene.supervisor.start(daemon)).toMatchObject({ ok: false });
    expect(daemon.state.phase).toBe("invalid");
    scene.ports.confs.write("alice", "web");
    expect(await scene.after(200, scene.supervisor.start(daemon))).toEqual({ ok: true });
  });

  test("a conf file that cannot be read does not replace the known one of a running daemon", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const { file } = daemon;
    scene.ports.confs.put("alice", "web", { readable: false, errors: ["web.conf: EACCES"] });
    expect(await scene.supervisor.restart(daemon)).toMatchObject({ ok: false });
    expect(daemon.file).toBe(file);
  });

  test("a start during a stop is followed by a run of the present conf file", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 50;
    const stop = scene.supervisor.stop(daemon);
    scene.ports.confs.write("alice", "web", { start: "exec second" });
    expect(await scene.after(500, scene.supervisor.start(daemon))).toEqual({ ok: true });
    expect(await stop).toMatchObject({ ok: false });
    expect(daemon.instances()[0]?.terms?.definition.start).toBe("exec second");
  });

  test("a start that a stop overtakes fails, and so does one whose run exits", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    const start = scene.supervisor.start(daemon);
    await scene.after(200, scene.supervisor.stop(daemon));
    expect(await start).toMatchObject({ reason: 'cannot start "alice/web": a stop was requested meanwhile' });
    const second = scene.supervisor.start(daemon);
    scene.ports.runs.latest.end({ code: 2 });
    expect(await scene.after(5, second)).toEqual({
      ok: false,
      reason: 'cannot start "alice/web": exited with code 2',
      ran: true,
    });
  });

  test("pause suspends all processes, and continue lets them run", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    expect(await scene.supervisor.pause(daemon)).toEqual({ ok: true });
    expect([daemon.state.paused, scene.ports.runs.latest.paused]).toEqual([true, true]);
    expect(await scene.supervisor.continue(daemon)).toEqual({ ok: true });
    expect([daemon.state.paused, scene.ports.runs.latest.paused]).toEqual([false, false]);
  });

  test("a paused daemon can be stopped", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    await scene.supervisor.pause(daemon);
    expect(await scene.after(100, scene.supervisor.stop(daemon))).toEqual({ ok: true });
  });

  test("a daemon that does not run can be neither paused nor continued", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    expect(await scene.supervisor.pause(daemon)).toMatchObject({ reason: 'cannot pause "alice/web": it is stopped' });
    expect(await scene.supervisor.continue(daemon)).toMatchObject({
      reason: 'cannot continue "alice/web": it is stopped',
    });
    void scene.supervisor.start(daemon);
    void scene.supervisor.stop(daemon);
    expect(await scene.supervisor.pause(daemon)).toMatchObject({ reason: 'cannot pause "alice/web": it is stopping' });
  });

  test("scale starts more instances, and drains the highest numbers", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    expect(await scene.after(200, scene.supervisor.scale(daemon, 3))).toEqual({ ok: true });
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1, 2, 3]);
    expect(await scene.after(200, scene.supervisor.scale(daemon, 1))).toEqual({ ok: true });
    expect(scene.ports.runs.live.map(({ instance }) => instance)).toEqual([1]);
    expect(scene.ports.runs.all.map(({ received }) => received.includes("drain"))).toEqual([false, true, true]);
  });

  test("scale reports an instance that exits, and a stop forgets the size", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi" });
    const scale = scene.supervisor.scale(daemon, 2);
    scene.ports.runs.latest.end({ code: 2 });
    expect(await scene.after(5, scale)).toMatchObject({ reason: 'cannot scale "alice/web": exited with code 2' });
    await scene.after(200, scene.supervisor.stop(daemon));
    expect([daemon.size, daemon.instances().length]).toEqual([1, 1]);
  });

  test("a dropped daemon answers the requests that wait for it", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.ports.runs.automatic = false;
    const start = scene.supervisor.start(daemon);
    void daemon.close();
    expect(await scene.after(5, start)).toMatchObject({
      ok: false,
      reason: 'cannot start "alice/web": the daemon was removed',
    });
  });
});

describe("a shutdown", () => {
  test("a shutdown ends all runs, closes all sockets and logs, and takes no more requests", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", output: "log" });
    await scene.load("other", { listen: "path" });
    const log = scene.ports.logs.current;
    if (log) log.slow = true;
    let isOver = false;
    void scene.supervisor.shutdown().then(() => {
      isOver = true;
    });
    expect(scene.supervisor.stopping).toBe(true);
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      reason: 'cannot start "alice/web": the supervisor is stopping',
    });
    scene.reload({ runsAs: {} });
    await scene.ports.clock.advance(500);
    expect([scene.ports.runs.live, isOver]).toEqual([[], false]);
    log?.finish();
    await scene.ports.clock.advance(1);
    expect(isOver).toBe(true);
    expect([...scene.ports.sockets.opened, ...scene.ports.sockets.directories].map(({ closed }) => closed)).toEqual([
      true,
      true,
    ]);
  });
});

describe("work in slices", () => {
  test("a policy is in force from the first slice on, and a daemon that is dropped meanwhile stays dropped", async () => {
    const scene = new Scene();
    await scene.load("shop", { autostart: false });
    await scene.load("web", { autostart: false });
    scene.inForce = inForceOf({ runsAs: { bob: [] } });
    const work = scene.supervisor.enforcing(scene.inForce);
    work.next();
    expect(scene.supervisor.owners()).toEqual(["root", "bob"]);
    const web = scene.daemon("web");
    expect(web.state.phase).toBe("stopped");
    await scene.supervisor.exit(web);
    atOnce(work);
    expect(scene.supervisor.daemons().map(({ id, state }) => [id, state.phase])).toEqual([["alice/shop", "forbidden"]]);
  });

  test("a daemon whose uid belongs to another person is stopped in the first slice", async () => {
    const scene = new Scene();
    await scene.load("shop");
    await scene.load("web", { user: "www" });
    const uids = { root: 0, alice: 1001, bob: 1002, www: 1101 };
    scene.inForce = inForceOf({ uids });
    scene.supervisor.enforcing(scene.inForce).next();
    expect(scene.daemon("web").state.phase).toBe("stopping");
  });

  test("a shutdown ends the slices of a reload", async () => {
    const scene = new Scene();
    await scene.load("shop", { autostart: false });
    scene.ports.confs.write("bob", "late");
    const rescan = scene.supervisor.rescanning(scene.supervisor.owners());
    rescan.next();
    void scene.supervisor.shutdown();
    expect(atOnce(rescan).found).toEqual([]);
    expect(scene.supervisor.daemon("bob/late")).toBeUndefined();
  });
});

describe("changed accounts", () => {
  const uids = { root: 0, alice: 1001, bob: 1002, www: 1100 };

  test("a stopped daemon of an account with another uid is loaded again at once", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { autostart: false });
    scene.reload({ uids: { ...uids, alice: 1003 } });
    await scene.ports.clock.advance(5);
    expect(scene.daemon("web")).not.toBe(daemon);
    expect(scene.daemon("web").key.owner.uid).toBe(1003);
  });

  test("a run as an account with another uid is stopped, and its daemon starts as that account", async () => {
    const scene = new Scene();
    await scene.load("web", { user: "www" });
    scene.reload({ uids: { ...uids, www: 1101 } });
    await scene.ports.clock.advance(500);
    expect(scene.daemon("web").terms?.account.uid).toBe(1101);
    expect(scene.ports.runs.all).toHaveLength(2);
  });

  test("an owner is found by name only while the policy names it", () => {
    const scene = new Scene();
    expect(scene.supervisor.owner("alice")?.uid).toBe(1001);
    expect([scene.supervisor.owner("www"), scene.supervisor.owner("mallory")]).toEqual([undefined, undefined]);
  });

  test("a daemon keeps its terms where its account has been removed, and is forbidden", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { user: "www" });
    scene.reload({ uids: { root: 0, alice: 1001, bob: 1002 } });
    await scene.ports.clock.advance(500);
    expect([daemon.state.phase, daemon.terms?.account.name]).toEqual(["forbidden", "www"]);
  });

  test("a daemon whose owner left the policy is kept, and its conf file is not read again", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.reload({ runsAs: { bob: [] } });
    await scene.ports.clock.advance(500);
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      reason: 'cannot start "alice/web": the policy does not let alice run daemons; root grants it in [runs_as]',
    });
    expect(scene.supervisor.daemons()).toEqual([daemon]);
  });
});
