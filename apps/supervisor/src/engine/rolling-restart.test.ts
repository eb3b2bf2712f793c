import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import type { Daemon } from "./daemon.ts";
import { Scene } from "./scene.fake.ts";

/** A scene with one daemon at a held socket, which is up. */
const listening = async (definition: Partial<Definition> = {}): Promise<{ scene: Scene; daemon: Daemon }> => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", ...definition });
  return { scene, daemon };
};
const live = ({ ports }: Scene): number[] => ports.runs.live.map(({ instance }) => instance);

describe("a rolling restart", () => {
  test("a rolling restart starts the candidate before the old run ends, and ends the old run when the candidate has run for ready-after", async () => {
    const { scene, daemon } = await listening();
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(900);
    expect(live(scene)).toEqual([1, 2]);
    expect(await scene.after(200, restart)).toEqual({ ok: true });
    expect(live(scene)).toEqual([2]);
    expect(daemon.rolling).toBe(false);
  });

  test("a rolling restart starts its candidate only when the run of an earlier candidate has ended", async () => {
    const { scene, daemon } = await listening();
    scene.ports.runs.born = (run) => {
      run.obedient = false;
    };
    const first = scene.supervisor.restart(daemon);
    const second = scene.supervisor.restart(daemon);
    const third = scene.supervisor.restart(daemon);
    expect(live(scene)).toEqual([1, 2]);
    await scene.ports.clock.advance(9000);
    expect(live(scene)).toEqual([1, 2]);
    scene.ports.runs.born = () => undefined;
    expect(await scene.after(5000, third)).toEqual({ ok: true });
    expect([await first, await second]).toEqual([{ ok: true }, { ok: true }]);
    expect(live(scene)).toHaveLength(1);
  });

  test("a rolling restart replaces the instances one by one, with at most one run more than the size", async () => {
    const { scene, daemon } = await listening({ instances: 3, readyAfter: 100 });
    let most = 0;
    scene.ports.runs.born = () => {
      most = Math.max(most, scene.ports.runs.live.length);
    };
    expect(await scene.after(2000, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect([most, live(scene).length, scene.ports.runs.all.length]).toEqual([4, 3, 6]);
  });

  test("a rolling restart takes a candidate for ready at its first client", async () => {
    const { scene, daemon } = await listening({ readyAfter: 60_000 });
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(5000);
    expect(live(scene)).toEqual([1, 2]);
    scene.ports.runs.latest.client = true;
    expect(await scene.after(500, restart)).toEqual({ ok: true });
  });

  test("a rolling restart drains the old run: it ends when its last client has left", async () => {
    const { scene, daemon } = await listening({ drain: 60_000 });
    const [old] = scene.ports.runs.live;
    if (old) old.client = true;
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(5000);
    expect(live(scene)).toEqual([1, 2]);
    expect(daemon.serving).toBe(daemon.terms);
    if (old) old.client = false;
    expect(await scene.after(500, restart)).toEqual({ ok: true });
  });

  test("a rolling restart is rolled back where the candidate exits: the old run stays, and the former terms with it", async () => {
    const { scene, daemon } = await listening();
    const { terms } = daemon;
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", start: "exec broken" });
    const restart = scene.supervisor.restart(daemon);
    expect(daemon.serving).toBe(terms);
    scene.ports.runs.latest.end({ code: 3 });
    expect(await scene.after(500, restart)).toEqual({
      ok: false,
      reason: 'cannot restart "alice/web": exited with code 3',
      ran: true,
    });
    expect([live(scene), daemon.terms, daemon.rolling]).toEqual([[1], terms, false]);
    expect(scene.transitions.filter((step) => step.startsWith("alice/web 2 rollback"))).toHaveLength(1);
  });

  test("a rolling restart is rolled back where the candidate cannot be launched", async () => {
    const { scene, daemon } = await listening();
    scene.ports.runs.error = new Error("EAGAIN");
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({
      ok: false,
      reason: 'cannot restart "alice/web": making its process: EAGAIN',
      ran: false,
    });
    expect(live(scene)).toEqual([1]);
  });

  test("a rolling restart keeps the new terms where a later candidate fails, because an instance runs by them", async () => {
    const { scene, daemon } = await listening({ instances: 2, readyAfter: 100 });
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 2, readyAfter: 100, start: "exec new" });
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(150);
    expect(scene.ports.runs.all).toHaveLength(4);
    scene.ports.runs.latest.end({ code: 3 });
    expect(await scene.after(500, restart)).toMatchObject({ ok: false });
    expect(daemon.terms?.definition.start).toBe("exec new");
    expect(daemon.changed).toBe(true);
    expect(live(scene)).toHaveLength(2);
  });

  test("a rolling restart returns to the terms of the run that serves where a restart of a restart fails", async () => {
    const { scene, daemon } = await listening({ readyAfter: 100, drain: 60_000 });
    const [old] = scene.ports.runs.live;
    if (old) old.client = true;
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", readyAfter: 100, start: "exec second" });
    const first = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", readyAfter: 100, start: "exec third" });
    const second = scene.supervisor.restart(daemon);
    if (old) old.client = false;
    await scene.ports.clock.advance(30);
    scene.ports.runs.latest.end({ code: 3 });
    expect(await scene.after(500, second)).toMatchObject({ ok: false });
    expect((await first).ok).toBe(false);
    expect(daemon.terms?.definition.start).toBe("exec second");
  });

  test("a rolling restart returns to the terms from before the first restart where a second fails as well", async () => {
    const { scene, daemon } = await listening();
    const { pid, terms } = daemon;
    for (const start of ["exec second", "exec third"]) {
      scene.ports.confs.write("alice", "web", { listen: "fastcgi", ready: "notify", start });
      void scene.supervisor.restart(daemon);
      await scene.ports.clock.advance(100);
    }
    scene.ports.runs.latest.end({ code: 9 });
    await scene.ports.clock.advance(500);
    expect([daemon.pid, daemon.terms]).toEqual([pid, terms]);
    scene.ports.runs.latest.end({ code: 1 });
    await scene.after(500, scene.supervisor.scale(daemon, 2));
    expect(daemon.instances().map((one) => one.terms?.definition.start)).toEqual(["exec program", "exec program"]);
  });

  test("a rolling restart ends with the number of instances that the conf file says", async () => {
    const { scene, daemon } = await listening();
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 3 });
    expect(await scene.after(3000, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "running", "running"]);
  });

  test("a rolling restart ends with fewer instances where the conf file says so, once all are replaced", async () => {
    const { scene, daemon } = await listening({ instances: 3, readyAfter: 100 });
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", instances: 1, readyAfter: 100, start: "exec new" });
    expect(await scene.after(3000, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(daemon.instances().map((one) => [one.state.phase, one.terms?.definition.start])).toEqual([
      ["running", "exec new"],
    ]);
  });

  test("a rolling restart replaces a paused run without waiting for drain", async () => {
    const { scene, daemon } = await listening({ readyAfter: 100, drain: 600_000 });
    const { pid } = daemon;
    await scene.supervisor.pause(daemon);
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(scene.ports.runs.find(pid)).toBeUndefined();
  });

  test("a rolling restart is rolled back where the candidate is not ready in time", async () => {
    const { scene, daemon } = await listening();
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", ready: "notify", readyTimeout: 400 });
    expect(await scene.after(1000, scene.supervisor.restart(daemon))).toEqual({
      ok: false,
      reason: 'cannot restart "alice/web": not ready after 400ms (ready-timeout)',
      ran: true,
    });
    expect(live(scene)).toEqual([1]);
  });

  test("a rolling restart waits for a paused candidate", async () => {
    const { scene, daemon } = await listening();
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    await scene.supervisor.pause(daemon);
    await scene.ports.clock.advance(60_000);
    expect(live(scene)).toEqual([1, 2]);
    await scene.supervisor.continue(daemon);
    expect(await scene.after(500, restart)).toEqual({ ok: true });
  });

  test("a rolling restart is abandoned by a stop, which ends both runs", async () => {
    const { scene, daemon } = await listening();
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    expect(await scene.after(200, scene.supervisor.stop(daemon))).toEqual({ ok: true });
    expect(await restart).toMatchObject({
      ok: false,
      reason: 'cannot restart "alice/web": a stop was requested meanwhile',
    });
    expect(live(scene)).toEqual([]);
  });

  test("a rolling restart is abandoned by a restart in place, which a changed way to listen demands", async () => {
    const { scene, daemon } = await listening();
    const first = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    scene.ports.confs.write("alice", "web", { listen: "none" });
    const second = scene.supervisor.restart(daemon);
    expect(await scene.after(500, second)).toEqual({ ok: true });
    expect(await first).toMatchObject({ reason: 'cannot restart "alice/web": a restart was requested meanwhile' });
    expect(live(scene)).toEqual([1]);
  });

  test("a rolling restart is rolled back where the policy forbids the daemon meanwhile", async () => {
    const { scene, daemon } = await listening();
    const restart = scene.supervisor.restart(daemon);
    await scene.ports.clock.advance(200);
    scene.reload({ runsAs: { bob: [] } });
    expect(await scene.after(500, restart)).toMatchObject({ ok: false, reason: expect.stringContaining("[runs_as]") });
    expect([live(scene), daemon.state.phase]).toEqual([[], "forbidden"]);
  });

  test("a rolling restart starts no candidate of a daemon that is forbidden while the restart waits for room", async () => {
    const { scene, daemon } = await listening();
    scene.ports.runs.born = (run) => {
      run.obedient = false;
    };
    void scene.supervisor.restart(daemon);
    const restart = scene.supervisor.restart(daemon);
    scene.reload({ runsAs: { bob: [] } });
    const before = scene.ports.runs.all.length;
    expect(await scene.after(30_000, restart)).toMatchObject({
      ok: false,
      reason: expect.stringContaining("[runs_as]"),
    });
    expect([scene.ports.runs.all.length, live(scene)]).toEqual([before, []]);
  });

  test("a rolling restart goes on where the old run ends by itself and for good", async () => {
    const { scene, daemon } = await listening();
    const [old] = scene.ports.runs.live;
    await scene.after(5, scene.supervisor.once(daemon));
    const restart = scene.supervisor.restart(daemon);
    old?.end({ code: 0 });
    expect(await scene.after(3000, restart)).toEqual({ ok: true });
    expect(live(scene)).toEqual([2]);
  });

  test("a rolling restart replaces the other instances where one has ended by itself and for good", async () => {
    const { scene, daemon } = await listening({ instances: 2 });
    await scene.after(5, scene.supervisor.once(daemon));
    const restart = scene.supervisor.restart(daemon);
    scene.ports.runs.all[0]?.end({ code: 0 });
    expect(await scene.after(5000, restart)).toEqual({ ok: true });
    const pids = scene.ports.runs.live.map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    expect(new Set(daemon.instances().map(({ pid }) => pid))).toEqual(new Set(pids));
  });

  test("a rolling restart restarts an instance in place that was not up, and refuses scale meanwhile", async () => {
    const { scene, daemon } = await listening({ instances: 2, maxRetries: 0 });
    scene.ports.runs.latest.end({ code: 1 });
    await scene.ports.clock.advance(200);
    expect(daemon.instances()[1]?.state.phase).toBe("failed");
    const restart = scene.supervisor.restart(daemon);
    expect(await scene.supervisor.scale(daemon, 3)).toMatchObject({
      ok: false,
      reason: 'cannot scale "alice/web": a restart of it is under way; wait for its end',
    });
    expect(await scene.after(3000, restart)).toEqual({ ok: true });
    expect(live(scene)).toHaveLength(2);
  });

  test("a rolling restart applies changed limits to its candidates and to the terms of a rollback", async () => {
    const { scene, daemon } = await listening({ memory: 64 << 20 });
    const restart = scene.supervisor.restart(daemon);
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", memory: 32 << 20 });
    scene.rescan();
    scene.ports.runs.latest.end({ code: 1 });
    expect(await scene.after(500, restart)).toMatchObject({ ok: false });
    expect(daemon.terms?.definition.memory).toBe(32 << 20);
  });

  test("a rolling restart promotes the candidate of an earlier restart whose old instance is gone", async () => {
    const { scene, daemon } = await listening();
    const first = scene.supervisor.restart(daemon);
    await scene.after(5, scene.supervisor.once(daemon));
    scene.ports.runs.all[0]?.end({ code: 0 });
    await scene.ports.clock.advance(5);
    const second = scene.supervisor.restart(daemon);
    expect(await scene.after(3000, second)).toEqual({ ok: true });
    expect(await first).toEqual({ ok: true });
    expect(live(scene)).toHaveLength(1);
  });
});
