import { describe, expect, test } from "vitest";
import type { Definition } from "../core/definition.ts";
import { Scene } from "./scene.fake.ts";

/** A scene with one daemon at a held socket. */
const loaded = async (definition: Partial<Definition>) => {
  const scene = new Scene();
  const daemon = await scene.load("web", { listen: "fastcgi", ...definition });
  return { scene, daemon };
};

describe("a restart in place", () => {
  test("a restart in place ends the runs first where the daemon does not listen, or says rolling=no", async () => {
    for (const definition of [{ listen: "none" }, { rolling: false }, { lock: "/run/x" }] as const) {
      const { scene, daemon } = await loaded(definition);
      const [old] = scene.ports.runs.live;
      const restart = scene.supervisor.restart(daemon);
      expect(scene.ports.runs.live).toEqual([]);
      expect(await scene.after(500, restart)).toEqual({ ok: true });
      expect(scene.ports.runs.latest).not.toBe(old);
    }
  });

  test("a restart in place starts a daemon that was stopped", async () => {
    const { scene, daemon } = await loaded({ autostart: false });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
  });

  test("a restart in place replaces all runs at once, and adjusts the number of instances to the conf file", async () => {
    const { scene, daemon } = await loaded({ rolling: false, instances: 2 });
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", rolling: false, instances: 3 });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running", "running", "running"]);
    scene.ports.confs.write("alice", "web", { listen: "fastcgi", rolling: false, instances: 1 });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(daemon.instances().map(({ state }) => state.phase)).toEqual(["running"]);
  });

  test("a restart in place resets the back-off", async () => {
    const { scene, daemon } = await loaded({ rolling: false });
    for (let crash = 0; crash < 3; crash += 1) {
      scene.ports.runs.latest.end({ code: 1 });
      await scene.ports.clock.advance(1000);
    }
    expect(daemon.state).toMatchObject({ failures: 3, respawns: 3 });
    expect(await scene.after(500, scene.supervisor.restart(daemon))).toEqual({ ok: true });
    expect(daemon.state).toMatchObject({ failures: 0, respawns: 0 });
  });
});

describe("a restart during a restart", () => {
  test("a restart during a restart takes over the waiters of the one before, which get the same outcome", async () => {
    const { scene, daemon } = await loaded({});
    const outcomes = [scene.supervisor.restart(daemon), scene.supervisor.restart(daemon)];
    await scene.ports.clock.advance(5);
    scene.ports.runs.latest.end({ code: 3 });
    await scene.ports.clock.advance(500);
    const answer = { ok: false, reason: 'cannot restart "alice/web": exited with code 3', ran: true };
    expect(await Promise.all(outcomes)).toEqual([answer, answer]);
  });
});
