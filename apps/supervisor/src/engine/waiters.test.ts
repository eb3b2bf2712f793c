import { describe, expect, test } from "vitest";
import { Scene } from "./scene.fake.ts";
import { Waiters } from "./waiters.ts";

/** A daemon whose launch waits for its lock. */
const waiting = async () => {
  const scene = new Scene();
  scene.ports.runs.automatic = false;
  const daemon = await scene.load("web", { listen: "fastcgi", lock: "/run/x" });
  scene.ports.runs.latest.wait("waiting for the lock /run/x");
  await scene.ports.clock.advance(5);
  return { scene, daemon };
};

describe("a request for a daemon whose launch waits", () => {
  test("a start is answered at once with what the launch waits for", async () => {
    const { scene, daemon } = await waiting();
    expect(await scene.after(5, scene.supervisor.start(daemon))).toEqual({
      ok: false,
      reason: 'cannot start "alice/web": waiting for the lock /run/x',
      ran: false,
    });
  });

  test("a request that starts no run there waits until the launch continues", async () => {
    const { scene, daemon } = await waiting();
    const scale = scene.supervisor.scale(daemon, 1);
    expect(await scene.after(5000, scale)).toBeUndefined();
    scene.ports.runs.latest.wait("");
    scene.ports.runs.latest.launched();
    expect(await scene.after(500, scale)).toEqual({ ok: true });
  });
});

describe("an answer", () => {
  test("an answer says that no process ran where only an earlier run has ended", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    await scene.after(200, scene.supervisor.stop(daemon));
    const start = scene.supervisor.start(daemon);
    void scene.supervisor.stop(daemon);
    expect(await scene.after(0, start)).toEqual({
      ok: false,
      reason: 'cannot start "alice/web": a stop was requested meanwhile',
      ran: false,
    });
  });

  test("an answer waits for instances that have no room yet, and for the end of every run", async () => {
    const scene = new Scene();
    const daemon = await scene.load("web");
    const answers: unknown[] = [];
    const waiters = new Waiters();
    for (const desired of ["up", "down"] as const)
      void waiters.wait(desired, new Map()).then((result) => answers.push(desired, result));
    const all = () => daemon.instances();
    waiters.answer({ all, awaitsRoom: true });
    await scene.ports.clock.advance(0);
    expect(answers).toEqual(["down", { ok: false, reason: "a start was requested meanwhile", ran: false }]);
    waiters.answer({ all, awaitsRoom: false });
    await scene.ports.clock.advance(0);
    expect(answers.slice(2)).toEqual(["up", { ok: true }]);
  });

  test("an answer goes to every request when the daemon is removed", async () => {
    const waiters = new Waiters();
    const outcomes = [waiters.wait("up", new Map()), waiters.wait("down", new Map())];
    waiters.abandon("the daemon was removed");
    const answer = { ok: false, reason: "the daemon was removed", ran: false };
    expect(await Promise.all(outcomes)).toEqual([answer, answer]);
  });
});
