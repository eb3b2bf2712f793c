import { describe, expect, test } from "vitest";
import { settled } from "./ports/clock.fake.ts";
import { Scene } from "./scene.fake.ts";

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

describe("a daemon whose accounts have other uids", () => {
  test("a daemon of a foreign account is not started while it stops", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    scene.ports.runs.latest.slowness = 50;
    scene.reload({ uids: { root: 0, alice: 1003, bob: 1002, www: 1100 } });
    expect(await scene.supervisor.start(daemon)).toMatchObject({
      ok: false,
      reason: 'cannot start "alice/web": an account of it has another uid now; start it again when it has stopped',
    });
    await scene.ports.clock.advance(500);
    expect(scene.daemon("web").key.owner.uid).toBe(1003);
    expect(scene.daemon("web").state.phase).toBe("running");
  });
});

describe("a policy reload", () => {
  test("a daemon is unblocked when the policy permits it again while a former run is draining", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web", { listen: "fastcgi", instances: 2 });
    scene.ports.runs.all
      .filter(({ instance }) => instance === 2)
      .forEach((run) => {
        run.client = true;
      });
    await scene.after(10, scene.supervisor.scale(daemon, 1));
    scene.reload({ runsAs: { bob: [] } });
    await scene.ports.clock.advance(10);
    scene.reload();
    await scene.ports.clock.advance(500);
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "stopping"]);
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
