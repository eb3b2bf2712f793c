/** Transitions that keys of a conf file and single requests cause: drain, ondemand, ready, once, pause. */
import { describe, expect, it } from "vitest";
import { at, clean, endRun, forbidden, invalid, NOW, states } from "./lifecycle.fake.ts";
import { initial, type State, step } from "./lifecycle.ts";

describe("draining", () => {
  const drained = step(states.running, { type: "drain" }, at(NOW, { drain: 3000 })).state;

  it("draining is followed by TERM after drain, and by KILL after stop-timeout", () => {
    expect(drained).toMatchObject({ phase: "stopping", want: "down", draining: true, deadline: NOW + 3000 });
    const pressed = step(drained, { type: "deadline" }, at(NOW + 3000));
    expect(pressed.effects).toEqual([{ type: "terminate", run: 3 }]);
    expect(pressed.state).toMatchObject({ draining: false, deadline: NOW + 13_000 });
    expect(step(pressed.state, { type: "deadline" }, at(NOW + 13_000)).effects).toEqual([{ type: "kill", run: 3 }]);
  });

  it("a stop ends draining early", () => {
    const { state, effects } = step(drained, { type: "stop" }, at(NOW + 10));
    expect(state).toMatchObject({ draining: false, deadline: NOW + 10_010 });
    expect(effects).toContainEqual({ type: "terminate", run: 3 });
  });

  it("draining is cut short when the policy forbids the daemon, which stays forbidden", () => {
    const { state, effects } = step(drained, { type: "block", block: forbidden }, at(NOW + 10));
    expect(state).toMatchObject({ draining: false, deadline: NOW + 10_010, block: forbidden });
    expect(effects).toContainEqual({ type: "terminate", run: 3 });
    expect(step(state, { type: "gone", run: 3 }, at(NOW + 20)).state.phase).toBe("forbidden");
  });

  it("draining is not cut short by an invalid conf file", () => {
    expect(step(drained, { type: "block", block: invalid }, at(NOW + 10))).toEqual({ state: drained, effects: [] });
  });

  it("draining that is cut short after a missed readiness is still followed by a back-off", () => {
    const unready = step(
      { ...states.starting, deadline: NOW },
      { type: "deadline" },
      at(NOW, { ready: "notify", drain: 3000 }),
    ).state;
    const forbade = step(unready, { type: "block", block: forbidden }, at(NOW + 10)).state;
    const permitted = step(forbade, { type: "unblock" }, at(NOW + 20)).state;
    expect(permitted).toMatchObject({ phase: "stopping", draining: false, stopRequested: false });
  });
});

describe("a daemon that runs on demand", () => {
  const own = { ondemand: true };

  it("a daemon that runs on demand stays asleep at a start or restart while it still runs on demand", () => {
    expect(step(states.asleep, { type: "start" }, at(NOW, own))).toEqual({ state: states.asleep, effects: [] });
    expect(step(states.asleep, { type: "restart" }, at(NOW, own)).state).toMatchObject({
      phase: "asleep",
      respawns: 0,
    });
    expect(step(states.asleep, { type: "start" }, at(NOW)).state.phase).toBe("starting");
  });

  it("a daemon that runs on demand is restarted by the next client only; the restart counts as a respawn, and its failures stay counted", () => {
    let state: State = { ...states.running, startedAt: NOW };
    for (const failures of [1, 2, 3]) {
      state = endRun(state, NOW, {}, own);
      if (state.phase === "coolingdown") state = step(state, { type: "deadline" }, at(NOW, own)).state;
      expect(state).toMatchObject({ phase: "asleep", want: "up", failures, respawns: 2 + failures });
      state = { ...step(state, { type: "connection" }, at(NOW, own)).state, phase: "running" };
    }
    expect(state.respawns).toBe(5);
    const delayed = step({ ...states.coolingdown }, { type: "deadline" }, { ...at(NOW, own), earliest: NOW + 1 });
    expect(delayed.state).toMatchObject({ phase: "coolingdown", throttled: true });
    expect(endRun({ ...states.running, once: true }, NOW, {}, own).phase).toBe("stopped");
  });

  it("a daemon that runs on demand is asleep after a start, wakes for a client, and is asleep again when it was idle and its run has ended", () => {
    const asleep = step(initial, { type: "start" }, at(NOW, own)).state;
    expect(asleep).toMatchObject({ phase: "asleep", want: "up" });
    const woken = step(asleep, { type: "connection" }, at(NOW, own));
    expect([woken.state.phase, woken.effects]).toEqual(["starting", [{ type: "spawn", run: 1 }]]);
    const goingToSleep = step({ ...woken.state, phase: "running" }, { type: "idle" }, at(NOW, own)).state;
    expect(goingToSleep).toMatchObject({ phase: "stopping", want: "up", draining: true, goingToSleep: true });
    const tried = { ...goingToSleep, respawns: 2, failures: 1 };
    expect(step(tried, { type: "gone", run: 1 }, at(NOW, own)).state).toMatchObject({
      phase: "asleep",
      want: "up",
      respawns: 0,
      failures: 0,
    });
  });

  it("a daemon that runs on demand starts again instead of going to sleep when a start is requested meanwhile", () => {
    const goingToSleep = step({ ...states.running }, { type: "idle" }, at(NOW, own)).state;
    const restarting = step(goingToSleep, { type: "start" }, at(NOW, own)).state;
    expect(step(restarting, { type: "gone", run: 3 }, at(NOW, own)).state.phase).toBe("starting");
  });
});

describe("a process that reports readiness", () => {
  const own = { ready: "notify", readyTimeout: 5000 } as const;
  const launched = step(states.starting, { type: "launched", run: 3 }, at(NOW, own)).state;

  it("a process that reports readiness counts as running from then on", () => {
    expect(launched).toMatchObject({ phase: "starting", deadline: NOW + 5000 });
    expect(step(launched, { type: "ready", run: 3 }, at(NOW, own)).state).toMatchObject({
      phase: "running",
      deadline: undefined,
    });
  });

  it("a process that reports readiness has failed when it is not ready in time, however it exits", () => {
    const late = step(launched, { type: "deadline" }, at(NOW + 5000, own));
    // It may have accepted a client without being ready.
    expect(late.effects).toContainEqual({ type: "drain", run: 3 });
    const exited = step(late.state, { type: "exited", run: 3, exit: clean, connected: true }, at(NOW + 5001, own));
    const gone = step(exited.state, { type: "gone", run: 3 }, at(NOW + 5001, own)).state;
    expect(gone).toMatchObject({ phase: "starting", failures: 1, last: { exit: { how: "not-ready" }, failed: true } });
  });
});

describe("once", () => {
  it("a daemon started by once is followed by no restart, unless a start is requested meanwhile", () => {
    const once = step(initial, { type: "once" }, at(NOW)).state;
    expect(once).toMatchObject({ phase: "starting", once: true });
    expect(endRun({ ...once, phase: "running" }, NOW, {})).toMatchObject({ phase: "stopped", want: "down" });
    const kept = step({ ...once, phase: "running" }, { type: "start" }, at(NOW)).state;
    expect(endRun(kept, NOW, {}).phase).toBe("starting");
  });
});

describe("pause", () => {
  it("a pause ends at a stop, because a suspended process cannot exit", () => {
    const paused = step(states.running, { type: "pause" }, at(NOW)).state;
    expect(paused).toMatchObject({ phase: "running", paused: true });
    const stopping = step(paused, { type: "stop" }, at(NOW));
    expect(stopping.state.paused).toBe(false);
    expect(stopping.effects.map(({ type }) => type)).toEqual(["terminate", "continue"]);
  });
});
