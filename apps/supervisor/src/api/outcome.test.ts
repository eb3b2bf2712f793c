/** Requests that change a daemon: whether it reached the requested state, whether anything changed, and else why not. */

import { expect, test } from "vitest";
import { initial, type State } from "../core/lifecycle.ts";
import type { RequestResult } from "../core/request-status.ts";
import { type FakeDaemon, FakeEngine, fakeDaemon, fakeSurroundings, type Traits } from "./engine.fake.ts";
import { act, type Verb } from "./outcome.ts";

const RUNNING: Partial<State> = { phase: "running", want: "up", run: 1, startedAt: 0, wantedAt: 0 };

/** Gives a daemon another state, as a request would. */
const become = (daemon: FakeDaemon, state: Partial<State>, size = daemon.size): void => {
  const next = fakeDaemon(daemon.id, { state: { ...daemon.state, ...state }, size });
  Object.assign(daemon, { state: next.state, size, representative: next.representative, instances: next.instances });
};

/** Carries out a request that has this effect. */
const request = (
  verb: Verb,
  traits: Traits,
  effect: (daemon: FakeDaemon) => void,
  result: RequestResult = { ok: true },
) => {
  const daemon = fakeDaemon("amy/blog", traits);
  const engine = new FakeEngine(daemon);
  engine.act = (given, found) => {
    expect(given).toBe(verb);
    effect(found);
    return result;
  };
  return act(engine, fakeSurroundings(), daemon, verb, 2);
};

test.each<[string, Verb, Traits, (daemon: FakeDaemon) => void]>([
  ["the start of a stopped daemon", "start", {}, (daemon) => become(daemon, RUNNING)],
  ["the stop of a running daemon", "stop", { state: RUNNING }, (daemon) => become(daemon, initial)],
  ["a restart", "restart", { state: RUNNING }, (daemon) => become(daemon, { run: 2 })],
  ["once for a running daemon", "once", { state: RUNNING }, (daemon) => become(daemon, { once: true })],
  ["a pause", "pause", { state: RUNNING }, (daemon) => become(daemon, { paused: true })],
  ["continue", "continue", { state: { ...RUNNING, paused: true } }, (daemon) => become(daemon, { paused: false })],
  ["a scale", "scale", { state: RUNNING }, (daemon) => become(daemon, {}, 2)],
  ["the start of a daemon that then sleeps", "start", {}, (daemon) => become(daemon, { phase: "asleep", want: "up" })],
  ["the exit of a stopped daemon", "exit", {}, () => undefined],
  [
    "a restart with another conf file that starts nothing",
    "restart",
    { state: { phase: "asleep", want: "up" } },
    (daemon) => {
      daemon.terms &&= { ...daemon.terms, fingerprint: "2" };
    },
  ],
])("the outcome of %s says that it changed something", async (_what, verb, traits, effect) => {
  expect(await request(verb, traits, effect)).toMatchObject({ ok: true, changed: true, reason: "", advice: "" });
});

test.each<[string, Verb, Traits]>([
  ["the start of a running daemon", "start", { state: RUNNING }],
  ["the start of a daemon that is asleep", "start", { state: { phase: "asleep", want: "up" } }],
  ["the stop of a stopped daemon", "stop", {}],
  ["once for a daemon that runs once already", "once", { state: { ...RUNNING, once: true } }],
  ["the pause of a paused daemon", "pause", { state: { ...RUNNING, paused: true } }],
  ["continue for a daemon that is not paused", "continue", { state: RUNNING }],
  ["a scale to the present number", "scale", { state: RUNNING, size: 2 }],
])("the outcome of %s says that it changed nothing", async (_what, verb, traits) => {
  expect(await request(verb, traits, () => undefined)).toMatchObject({ ok: true, changed: false });
});

test("a stop that waits for an earlier stop says that it changed nothing", async () => {
  const state = { phase: "stopping", want: "down", run: 1 } as const;
  const outcome = await request("stop", { state }, (daemon) => become(daemon, { phase: "stopped" }));
  expect(outcome).toMatchObject({ ok: true, changed: false, daemon: { state: "stopped" } });
});

test("a start that waits for a launch of an earlier request says that it changed nothing", async () => {
  const state = { phase: "starting", want: "up", run: 1 } as const;
  const outcome = await request("start", { state }, (daemon) => become(daemon, { phase: "running" }));
  expect(outcome).toMatchObject({ ok: true, changed: false, daemon: { state: "running" } });
});

const refused = (ran: boolean): RequestResult => ({
  ok: false,
  reason: 'cannot start "amy/blog": exited with code 1',
  ran,
});

test("a failed start has the reason, the last line of its log without the label, and advice", async () => {
  const daemon = fakeDaemon("amy/blog");
  const engine = new FakeEngine(daemon);
  engine.act = (_verb, found) => {
    const last = { run: 1, exit: { how: "code", code: 1 }, failed: true } as const;
    become(found, { phase: "failed", want: "up", run: 1, failures: 1, last });
    return refused(true);
  };
  const readLog = async function* () {
    yield Buffer.from("@4000000000000000000000001 no label\n@7fffffffffffffff00000000 no port left\n");
  };
  expect(await act(engine, fakeSurroundings({ readLog }), daemon, "start")).toMatchObject({
    ok: false,
    changed: true,
    reason: 'cannot start "amy/blog": exited with code 1',
    lastLogLine: "no port left",
    advice: expect.stringContaining("`dmctl amy/blog log`"),
    daemon: { state: "failed" },
  });
});

test.each([
  ["start", 3],
  ["once", 3],
  ["restart", 4],
] as const)("a failed %s during a start has advice about the run that decided its outcome", async (verb, run) => {
  const daemon = fakeDaemon("amy/blog", { state: { ...RUNNING, phase: "starting", run: 3 } });
  const engine = new FakeEngine(daemon);
  engine.act = (_verb, found) => {
    const last = { run, exit: { how: "launch-failed", stage: "opening its log", reason: "x" }, failed: true } as const;
    become(found, { phase: "starting", want: "up", run: run + 1, failures: 1, last });
    return refused(false);
  };
  const { advice } = await act(engine, fakeSurroundings(), daemon, verb);
  expect(advice).toBe("Let the owner write to its log's directory, or write output=discard.");
});

test("a start that failed before a process lived quotes no line of an earlier run", async () => {
  const outcome = await request("start", {}, () => undefined, refused(false));
  expect(outcome).toMatchObject({ ok: false, changed: false, lastLogLine: "" });
});

test("a refused restart of a running daemon says that the present run continues", async () => {
  const outcome = await request("restart", { state: RUNNING }, () => undefined, refused(false));
  expect(outcome).toMatchObject({ changed: false, advice: "The present run continues as it was." });
});

test("a start that waits for a lock says that a stop cancels it", async () => {
  const waiting = (daemon: FakeDaemon) => {
    daemon.waiting = "waits for the lock /home/amy/lock";
  };
  const outcome = await request("start", {}, waiting, refused(false));
  expect(outcome.advice).toBe("It starts when it gets the resource it waits for; a stop cancels that.");
});
