import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { DEFAULTS, type Ready } from "./definition.ts";
import {
  alive,
  type Circumstances,
  describeExit,
  type Event,
  type Exit,
  initial,
  isExpected,
  type Phase,
  type State,
  step,
  verdict,
} from "./lifecycle.ts";

const rules: Circumstances["rules"] = DEFAULTS;
const at = (now: number, own: Partial<Circumstances["rules"]> = {}): Circumstances => ({
  now,
  random: 0.5,
  rules: { ...rules, ...own },
});

const NOW = 100_000;
const crash = { how: "signal", signal: "SIGKILL" } as const;
const clean = { how: "code", code: 0 } as const;
const forbidden = { kind: "forbidden", reason: "not granted" } as const;
const invalid = { kind: "invalid", reason: "a.conf:1: wrong" } as const;

/** A state of each phase, as one comes to it: its run is number 3, begun 20 s ago. */
const begun: State = { ...initial, want: "up", run: 3, startedAt: NOW - 20_000, wantedAt: NOW - 50_000, respawns: 2 };
const states: Record<Phase, State> = {
  stopped: { ...initial, run: 3 },
  starting: { ...begun, phase: "starting" },
  running: { ...begun, phase: "running" },
  stopping: { ...begun, phase: "stopping", want: "down", stopRequested: true, deadline: NOW },
  coolingdown: { ...begun, phase: "coolingdown", startedAt: undefined, deadline: NOW },
  failed: { ...begun, phase: "failed", startedAt: undefined },
  asleep: { ...begun, phase: "asleep", startedAt: undefined },
  forbidden: { ...begun, phase: "forbidden", startedAt: undefined, block: forbidden },
  invalid: { ...begun, phase: "invalid", startedAt: undefined, want: "down", block: invalid },
};
const events = {
  start: { type: "start" },
  once: { type: "once" },
  drain: { type: "drain" },
  idle: { type: "idle" },
  pause: { type: "pause" },
  continue: { type: "continue" },
  ready: { type: "ready", run: 3 },
  stop: { type: "stop" },
  restart: { type: "restart" },
  launched: { type: "launched", run: 3 },
  exited: { type: "exited", run: 3, exit: crash, connected: false },
  gone: { type: "gone", run: 3 },
  deadline: { type: "deadline" },
  connection: { type: "connection" },
  forbid: { type: "block", block: forbidden },
  invalidate: { type: "block", block: invalid },
  unblock: { type: "unblock" },
} satisfies Record<string, Event>;

/** What each cell does, in short: the phase it leads to and the effects; "-" is nothing at all. */
// biome-ignore format: the table is read in columns
const cells: Record<Phase, Record<keyof typeof events, string>> = {
  stopped:     { start: "starting spawn4", stop: "stopped discard4", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "stopped", once: "starting spawn4", drain: "stopped discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
  starting:    { start: "-",               stop: "stopping terminate3 discard4", restart: "stopping terminate3 discard4", launched: "starting prepare4", exited: "stopping kill3", gone: "-",      deadline: "running",         connection: "-",               forbid: "stopping terminate3 discard4", invalidate: "-",                unblock: "starting", once: "starting", drain: "stopping drain3 discard4", idle: "-", pause: "starting pause3", continue: "starting continue3", ready: "running" },
  running:     { start: "-",               stop: "stopping terminate3 discard4", restart: "stopping terminate3 discard4", launched: "-",                 exited: "stopping kill3", gone: "-",      deadline: "-",               connection: "-",               forbid: "stopping terminate3 discard4", invalidate: "-",                unblock: "running", once: "running", drain: "stopping drain3 discard4", idle: "-", pause: "running pause3", continue: "running continue3", ready: "-" },
  stopping:    { start: "stopping",        stop: "stopping",         restart: "stopping",                     launched: "-",                 exited: "stopping",       gone: "stopped discard4", deadline: "stopping kill3",  connection: "-",               forbid: "stopping",                     invalidate: "-",                unblock: "stopping", once: "stopping", drain: "stopping", idle: "-", pause: "-", continue: "stopping continue3", ready: "-" },
  coolingdown: { start: "starting spawn4", stop: "stopped discard4", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "starting spawn4", connection: "-",               forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "coolingdown", once: "starting spawn4", drain: "stopped discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
  failed:      { start: "starting spawn4", stop: "stopped discard4", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "failed", once: "starting spawn4", drain: "stopped discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
  asleep:      { start: "starting spawn4", stop: "stopped discard4", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "starting spawn4", forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "asleep", once: "starting spawn4", drain: "stopped discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
  forbidden:   { start: "-",               stop: "forbidden discard4", restart: "-",                          launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "starting spawn4", once: "-", drain: "forbidden discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
  invalid:     { start: "-",               stop: "invalid discard4", restart: "-",                            launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden discard4",           invalidate: "invalid discard4", unblock: "stopped", once: "-", drain: "invalid discard4", idle: "-", pause: "-", continue: "-", ready: "-" },
};

test("a finish that says that another run is of no use fails a daemon that is wanted up, and nothing else", () => {
  const gone = { type: "gone", run: 3, permanent: true } as const;
  const last = { run: 3, exit: clean, failed: false };
  const over: State = { ...states.stopping, want: "up", stopRequested: false, last };
  expect(step(over, gone, at(NOW))).toMatchObject({
    state: { phase: "failed", want: "up", last: { ...last, permanent: true } },
    effects: [{ type: "discard", run: 4 }],
  });
  expect(step({ ...over, stopRequested: true }, gone, at(NOW)).state.phase).toBe("starting");
  expect(step({ ...over, want: "down" }, gone, at(NOW)).state.phase).toBe("stopped");
  expect(step({ ...over, block: forbidden }, gone, at(NOW)).state.phase).toBe("forbidden");
});

const inShort = (before: State, event: Event): string => {
  const { state, effects } = step(before, event, at(NOW));
  if (state === before) return "-";
  return [state.phase, ...effects.map(({ type, run }) => `${type}${run}`)].join(" ");
};

describe.each(Object.keys(cells) as Phase[])("%s", (phase) => {
  test.each(Object.entries(cells[phase]))("%s -> %s", (event, expected) => {
    expect(inShort(states[phase], events[event as keyof typeof events])).toBe(expected);
  });

  it("drops news of another run", () => {
    for (const type of ["launched", "gone"] as const) {
      expect(inShort(states[phase], { type, run: 2 })).toBe("-");
    }
    expect(inShort(states[phase], { type: "exited", run: 2, exit: crash, connected: false })).toBe("-");
  });
});

/** Lets a run end by itself and returns the state after nothing of it is left. */
const endRun = (state: State, now: number, how: Partial<Extract<Event, { type: "exited" }>>, own = {}): State => {
  const exited = step(state, { type: "exited", run: state.run, exit: crash, connected: false, ...how }, at(now, own));
  return step(exited.state, { type: "gone", run: state.run }, at(now, own)).state;
};

describe("back-off", () => {
  it("waits 0, 0.2, 0.4, 0.8 ... 60 s after failed runs in a row", () => {
    let state = step(initial, { type: "start" }, at(0)).state;
    let now = 0;
    const waits: number[] = [];
    for (let failure = 1; failure <= 12; failure += 1) {
      state = endRun(state, now, {});
      waits.push((state.deadline ?? now) - now);
      now = state.deadline ?? now;
      if (state.phase === "coolingdown") state = step(state, { type: "deadline" }, at(now)).state;
    }
    expect(waits).toEqual([0, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect(state.respawns).toBe(12);
  });

  it("begins from the first after a run that took a connection, or lasted", () => {
    const failing = { ...states.running, startedAt: NOW - 5000, failures: 7 };
    expect(endRun(failing, NOW, { connected: true })).toMatchObject({ phase: "starting", failures: 0 });
    expect(endRun({ ...failing, startedAt: NOW - 10_000 }, NOW, {})).toMatchObject({ phase: "starting", failures: 0 });
    expect(endRun(failing, NOW, {})).toMatchObject({ phase: "coolingdown", failures: 8 });
  });

  it("respawns at most 10 times a second after a crash and 100 times after code 0", () => {
    const young = { ...states.running, startedAt: NOW - 4 };
    expect(endRun(young, NOW, { connected: true })).toMatchObject({ phase: "coolingdown", deadline: NOW + 96 });
    expect(endRun(young, NOW, { connected: true, exit: clean })).toMatchObject({
      phase: "coolingdown",
      deadline: NOW + 6,
    });
    const settled = { ...states.running, startedAt: NOW - 100 };
    expect(endRun(settled, NOW, { connected: true }).phase).toBe("starting");
  });

  it("gives up after max-retries", () => {
    let state: State = { ...states.running, startedAt: NOW };
    for (let retry = 0; retry <= 2; retry += 1) {
      state = endRun(state, NOW, {}, { maxRetries: 2 });
      if (state.phase === "coolingdown") state = step(state, { type: "deadline" }, at(NOW)).state;
    }
    expect(state).toMatchObject({ phase: "failed", want: "up", failures: 3 });
    expect(step(state, { type: "start" }, at(NOW)).state).toMatchObject({
      phase: "starting",
      failures: 0,
      respawns: 4,
    });
  });
});

describe("respawns", () => {
  it.each(["start", "once"] as const)("are counted on through a %s of one that has not been stopped", (type) => {
    for (const phase of ["coolingdown", "failed"] as const) {
      expect(step(states[phase], { type }, at(NOW)).state).toMatchObject({ respawns: 2, failures: 0, wantedAt: NOW });
    }
    const crashed = step(states.running, { type: "exited", run: 3, exit: crash, connected: false }, at(NOW)).state;
    expect(step(crashed, { type }, at(NOW)).state.respawns).toBe(2);
  });

  it.each(Object.values(states).map((state) => [state.phase, state] as const))(
    "are counted anew after a stop or a restart of one that is %s",
    (_, state) => {
      for (const type of ["stop", "restart"] as const) {
        const after = step(state, { type }, at(NOW)).state;
        // Barred it has ended.
        if (type === "stop" || after.phase !== state.phase) expect(after.respawns).toBe(0);
      }
    },
  );
});

describe("exit code 100", () => {
  const final = { how: "code", code: 100 } as const;

  it("is the last run until somebody starts it, however long it lasted and whatever it took", () => {
    for (const startedAt of [NOW, NOW - 3_600_000]) {
      const state = endRun({ ...states.running, startedAt }, NOW, { exit: final, connected: true });
      expect(state).toMatchObject({ phase: "failed", want: "up", failures: 1, deadline: undefined });
      expect(step(state, { type: "start" }, at(NOW)).state).toMatchObject({ phase: "starting", failures: 0 });
    }
  });

  it("means nothing where the end was stopRequested for", () => {
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    expect(endRun(stopping, NOW, { exit: final }).phase).toBe("stopped");
    const cycling = step(states.running, { type: "restart" }, at(NOW)).state;
    expect(endRun(cycling, NOW, { exit: final })).toMatchObject({ phase: "starting", failures: 0 });
  });

  it("is told from 99 and 101", () => {
    for (const code of [99, 101]) {
      const state = endRun({ ...states.running, startedAt: NOW }, NOW, { exit: { how: "code", code } });
      expect(state.phase).toBe("starting");
    }
  });
});

describe("a launch that had to wait", () => {
  it("begins when it goes on: what it waited is no time of health", () => {
    const waiting: State = { ...states.starting, startedAt: NOW - 3_600_000 };
    const launched = step(waiting, { type: "launched", run: 3, waited: true }, at(NOW)).state;
    expect(launched.startedAt).toBe(NOW);
    expect(endRun(launched, NOW + 50, {})).toMatchObject({ failures: 1, last: { failed: true } });
    expect(step(waiting, { type: "launched", run: 3 }, at(NOW)).state.startedAt).toBe(NOW - 3_600_000);
  });
});

describe("an end that is let finish", () => {
  const retired = step(states.running, { type: "drain" }, at(NOW, { drain: 3000 })).state;

  it("gets TERM when drain has passed, and KILL when stop-timeout has", () => {
    expect(retired).toMatchObject({ phase: "stopping", want: "down", draining: true, deadline: NOW + 3000 });
    const pressed = step(retired, { type: "deadline" }, at(NOW + 3000));
    expect(pressed.effects).toEqual([{ type: "terminate", run: 3 }]);
    expect(pressed.state).toMatchObject({ draining: false, deadline: NOW + 13_000 });
    expect(step(pressed.state, { type: "deadline" }, at(NOW + 13_000)).effects).toEqual([{ type: "kill", run: 3 }]);
  });

  it("is hastened by a stop", () => {
    const { state, effects } = step(retired, { type: "stop" }, at(NOW + 10));
    expect(state).toMatchObject({ draining: false, deadline: NOW + 10_010 });
    expect(effects).toContainEqual({ type: "terminate", run: 3 });
  });
});

describe("a daemon that runs on demand", () => {
  const own = { ondemand: true };

  it("goes on sleeping when it is started or restarted, if it is to sleep still", () => {
    expect(step(states.asleep, { type: "start" }, at(NOW, own))).toEqual({ state: states.asleep, effects: [] });
    expect(step(states.asleep, { type: "restart" }, at(NOW, own)).state).toMatchObject({
      phase: "asleep",
      respawns: 0,
    });
    expect(step(states.asleep, { type: "start" }, at(NOW)).state.phase).toBe("starting");
  });

  it("is begun again by the next who comes, not by itself: it counts as a respawn, and its failures go on", () => {
    let state: State = { ...states.running, startedAt: NOW };
    for (const failures of [1, 2, 3]) {
      state = endRun(state, NOW, {}, own);
      if (state.phase === "coolingdown") state = step(state, { type: "deadline" }, at(NOW, own)).state;
      expect(state).toMatchObject({ phase: "asleep", want: "up", failures, respawns: 2 + failures });
      state = { ...step(state, { type: "connection" }, at(NOW, own)).state, phase: "running" };
    }
    expect(state.respawns).toBe(5);
    const rationed = step({ ...states.coolingdown }, { type: "deadline" }, { ...at(NOW, own), earliest: NOW + 1 });
    expect(rationed.state).toMatchObject({ phase: "coolingdown", throttled: true });
    expect(endRun({ ...states.running, once: true }, NOW, {}, own).phase).toBe("stopped");
  });

  it("sleeps when it is started, wakes for a client, and sleeps again when it is idle and has gone", () => {
    const asleep = step(initial, { type: "start" }, at(NOW, own)).state;
    expect(asleep).toMatchObject({ phase: "asleep", want: "up" });
    const woken = step(asleep, { type: "connection" }, at(NOW, own));
    expect([woken.state.phase, woken.effects]).toEqual(["starting", [{ type: "spawn", run: 1 }]]);
    const goingToSleep = step({ ...woken.state, phase: "running" }, { type: "idle" }, at(NOW, own)).state;
    expect(goingToSleep).toMatchObject({ phase: "stopping", want: "up", draining: true, goingToSleep: true });
    expect(step(goingToSleep, { type: "gone", run: 1 }, at(NOW, own)).state).toMatchObject({
      phase: "asleep",
      want: "up",
    });
  });

  it("is begun anew, not put to sleep, when a start comes while it goes", () => {
    const goingToSleep = step({ ...states.running }, { type: "idle" }, at(NOW, own)).state;
    const wished = step(goingToSleep, { type: "start" }, at(NOW, own)).state;
    expect(step(wished, { type: "gone", run: 3 }, at(NOW, own)).state.phase).toBe("starting");
  });
});

describe("a process that tells when it is ready", () => {
  const own = { ready: "notify", readyTimeout: 5000 } as const;
  const launched = step(states.starting, { type: "launched", run: 3 }, at(NOW, own)).state;

  it("runs from then on", () => {
    expect(launched).toMatchObject({ phase: "starting", deadline: NOW + 5000 });
    expect(step(launched, { type: "ready", run: 3 }, at(NOW, own)).state).toMatchObject({
      phase: "running",
      deadline: undefined,
    });
  });

  it("has failed when it does not in time, however it ends then", () => {
    const late = step(launched, { type: "deadline" }, at(NOW + 5000, own));
    // It may have taken a connection all the same.
    expect(late.effects).toContainEqual({ type: "drain", run: 3 });
    const exited = step(late.state, { type: "exited", run: 3, exit: clean, connected: true }, at(NOW + 5001, own));
    const gone = step(exited.state, { type: "gone", run: 3 }, at(NOW + 5001, own)).state;
    expect(gone).toMatchObject({ phase: "starting", failures: 1, last: { exit: { how: "unready" }, failed: true } });
  });
});

describe("once", () => {
  it("is not begun again when it ends, unless a start comes meanwhile", () => {
    const once = step(initial, { type: "once" }, at(NOW)).state;
    expect(once).toMatchObject({ phase: "starting", once: true });
    expect(endRun({ ...once, phase: "running" }, NOW, {})).toMatchObject({ phase: "stopped", want: "down" });
    const lasting = step({ ...once, phase: "running" }, { type: "start" }, at(NOW)).state;
    expect(endRun(lasting, NOW, {}).phase).toBe("starting");
  });
});

describe("pause", () => {
  it("is over when it is stopped: what is held could not end", () => {
    const paused = step(states.running, { type: "pause" }, at(NOW)).state;
    expect(paused).toMatchObject({ phase: "running", paused: true });
    const stopping = step(paused, { type: "stop" }, at(NOW));
    expect(stopping.state.paused).toBe(false);
    expect(stopping.effects.map(({ type }) => type)).toEqual(["terminate", "continue", "discard"]);
  });
});

test.each<[string, State, boolean]>([
  ["it runs", states.running, true],
  ["it sleeps", states.asleep, true],
  ["it begins again", { ...states.stopping, want: "up" }, true],
  ["it is tried again soon", { ...states.coolingdown, deadline: NOW + 1000 }, true],
  ["it is tried again later", { ...states.coolingdown, deadline: NOW + 3000 }, false],
  ["it stops", states.stopping, false],
  ["it has been given up", states.failed, false],
])("whether clients wait for it: %s", (_name, state, expected) => {
  expect(isExpected(state, NOW)).toBe(expected);
});

describe("stop and restart", () => {
  it("asks with TERM, and kills again and again from the deadline on", () => {
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    expect(stopping).toMatchObject({ want: "down", deadline: NOW + 10_000, respawns: 0 });
    const late = step(stopping, { type: "deadline" }, at(NOW + 10_000));
    expect(late.effects).toEqual([{ type: "kill", run: 3 }]);
    expect(late.state.deadline).toBe(NOW + 20_000);
  });

  it("knows that it was killed because it did not end when it was stopRequested to", () => {
    const end = (state: State, exit: Exit): Exit | undefined =>
      step(state, { type: "exited", run: 3, exit, connected: false }, at(NOW)).state.last?.exit;
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    const late = step(stopping, { type: "deadline" }, at(NOW)).state;
    expect(end(late, crash)).toEqual({ ...crash, cause: "stop-timeout" });
    expect(end(stopping, crash)).toEqual(crash);
    expect(end(late, clean)).toEqual(clean);
    expect(end(late, { ...crash, cause: "memory" })).toEqual({ ...crash, cause: "memory" });
    const next = step(late, { type: "start" }, at(NOW)).state;
    const again = step(next, { type: "gone", run: 3 }, at(NOW)).state;
    const second = step({ ...again, phase: "running" }, { type: "stop" }, at(NOW)).state;
    expect(step(second, { type: "exited", run: 4, exit: crash, connected: false }, at(NOW)).state.last?.exit).toEqual(
      crash,
    );
  });

  it("begins the next run without waiting when the old one is gone, however it ended", () => {
    const cycling = step({ ...states.running, failures: 9 }, { type: "restart" }, at(NOW)).state;
    const exited = step(cycling, { type: "exited", run: 3, exit: crash, connected: false }, at(NOW)).state;
    expect(step(exited, { type: "gone", run: 3 }, at(NOW)).state).toMatchObject({
      phase: "starting",
      run: 4,
      failures: 0,
    });
  });

  it("ends in the last wish", () => {
    const wishes = ["stop", "restart", "stop", "start", "restart", "stop"] as const;
    const state = wishes.reduce((before, type) => step(before, { type }, at(NOW)).state, states.running);
    expect(state).toMatchObject({ phase: "stopping", want: "down" });
    expect(step(state, { type: "gone", run: 3 }, at(NOW)).state.phase).toBe("stopped");
  });

  it("shows forbidden once the last run of a daemon that is no longer allowed has gone, and resumes when it is", () => {
    const evicted = step(states.running, { type: "block", block: forbidden }, at(NOW)).state;
    const gone = step(evicted, { type: "gone", run: 3 }, at(NOW)).state;
    expect(gone).toMatchObject({ phase: "forbidden", want: "up" });
    expect(step(gone, { type: "unblock" }, at(NOW)).state).toMatchObject({ phase: "starting", run: 4 });
  });
});

describe("verdict", () => {
  const failed = { run: 4, exit: { how: "code", code: 1 }, failed: true } as const;
  it.each<[string, State, "up" | "down", number, unknown]>([
    ["running is up", states.running, "up", 3, { ok: true }],
    ["starting is not known yet", states.starting, "up", 2, "pending"],
    [
      "a run since then that ended was a failure",
      { ...states.starting, run: 5, last: failed },
      "up",
      3,
      { ok: false, reason: "exited with code 1" },
    ],
    ["an end before that tells nothing", { ...states.starting, run: 5, last: failed }, "up", 4, "pending"],
    [
      "one that has failed for good does not come up by itself",
      { ...states.failed, want: "up", last: failed },
      "up",
      4,
      { ok: false, reason: "exited with code 1" },
    ],
    ["another request asks it to stop", states.stopping, "up", 3, { ok: false, reason: "another request stopped it" }],
    ["stopping is not down yet", states.stopping, "down", 3, "pending"],
    ["stopped is down", states.stopped, "down", 3, { ok: true }],
    [
      "another request asks it to start",
      states.running,
      "down",
      3,
      { ok: false, reason: "another request started it again" },
    ],
    ["forbidden cannot start", states.forbidden, "up", 3, { ok: false, reason: "not granted" }],
    ["forbidden is down", states.forbidden, "down", 3, { ok: true }],
  ])("%s", (_name, state, wish, since, expected) => {
    expect(verdict(state, wish, since)).toEqual(expected);
  });
});

/** A machine of the kind that the table is told about: it launches what it is asked to, and things happen to it. */
class Model {
  readonly #own: Partial<Circumstances["rules"]>;
  state: State = initial;
  now = 0;
  live: number | undefined;
  mainLives = false;

  constructor(own: Partial<Circumstances["rules"]>) {
    this.#own = { maxRetries: 5, ...own };
  }

  feed(event: Event): void {
    const { state, effects } = step(this.state, event, at(this.now, this.#own));
    this.state = state;
    for (const effect of effects) {
      if (effect.type !== "spawn") continue;
      expect(this.live, "a spawn while a run lives").toBeUndefined();
      this.live = effect.run;
      this.mainLives = true;
    }
    expect(alive(this.state)).toBe(this.live !== undefined);
  }

  exit(connected: boolean): void {
    if (this.live === undefined || !this.mainLives) return;
    this.mainLives = false;
    this.feed({ type: "exited", run: this.live, exit: crash, connected });
  }
  vanish(): void {
    if (this.live === undefined || this.mainLives) return;
    const run = this.live;
    this.live = undefined;
    this.feed({ type: "gone", run });
  }
  /** Lets everything happen that must: launches succeed, deadlines pass, what was told to end ends. */
  calm(): void {
    for (let round = 0; round < 40; round += 1) {
      if (this.state.phase === "starting" && this.live !== undefined) this.feed({ type: "launched", run: this.live });
      if (this.state.phase === "stopping") {
        this.exit(false);
        this.vanish();
      }
      if (this.state.deadline !== undefined) {
        this.now = Math.max(this.now, this.state.deadline);
        this.feed({ type: "deadline" });
      }
    }
  }
}

it("never has two live runs, and reaches what is wanted once nothing more happens", () => {
  const action = fc.oneof(
    fc
      .constantFrom<Event["type"]>(
        "start",
        "once",
        "stop",
        "restart",
        "drain",
        "idle",
        "pause",
        "continue",
        "deadline",
        "connection",
        "unblock",
      )
      .map((type) => (model: Model) => model.feed({ type } as Event)),
    fc.constantFrom(forbidden, invalid).map((block) => (model: Model) => model.feed({ type: "block", block })),
    fc.nat(7).map((run) => (model: Model) => model.feed({ type: "gone", run: model.state.run - 1 - run })),
    fc.boolean().map((connected) => (model: Model) => model.exit(connected)),
    fc.constant((model: Model) => model.vanish()),
    fc.constant((model: Model) => model.live !== undefined && model.feed({ type: "launched", run: model.live })),
    fc.nat(30_000).map((passed) => (model: Model) => {
      model.now += passed;
    }),
  );
  const kinds = fc.record({
    ondemand: fc.boolean(),
    ready: fc.constantFrom<Ready>("accept", "notify"),
  });
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), kinds, (actions, own) => {
      const model = new Model(own);
      for (const act of actions) act(model);
      model.calm();
      const { phase, want, block } = model.state;
      if (block && !alive(model.state)) expect(phase).toBe(block.kind);
      else if (want === "down") expect(phase).toBe("stopped");
      else expect(["running", "failed", ...(own.ondemand ? ["asleep"] : [])]).toContain(phase);
    }),
    { numRuns: 2000 },
  );
});

describe("restarts that its owner has no room for", () => {
  const late = { ...at(NOW), earliest: NOW + 5000 };
  const ended = {
    ...states.stopping,
    want: "up",
    stopRequested: false,
    last: { run: 3, exit: crash, failed: false },
  } as const;

  it("wait, as coolingdown, until there is room, and begin then", () => {
    const { state, effects } = step(ended, { type: "gone", run: 3 }, late);
    expect(state).toMatchObject({ phase: "coolingdown", deadline: NOW + 5000, throttled: true, respawns: 2 });
    expect(effects).toEqual([]);
    const waiting = step(state, { type: "deadline" }, { ...at(NOW + 5000), earliest: NOW + 9000 }).state;
    expect(waiting).toMatchObject({ phase: "coolingdown", deadline: NOW + 9000, throttled: true });
    const begun = step(waiting, { type: "deadline" }, { ...at(NOW + 9000), earliest: NOW + 9000 });
    expect(begun.state).toMatchObject({ phase: "starting", respawns: 3, run: 4 });
    expect(begun.state.throttled).toBeUndefined();
    expect(begun.effects).toEqual([{ type: "spawn", run: 4 }]);
  });

  it("do not keep a start by hand, a restart or the first start waiting", () => {
    const { state } = step(ended, { type: "gone", run: 3 }, late);
    expect(step(state, { type: "start" }, late).state.phase).toBe("starting");
    expect(step(states.stopped, { type: "start" }, late).state.phase).toBe("starting");
    expect(step({ ...ended, stopRequested: true }, { type: "gone", run: 3 }, late).state.phase).toBe("starting");
  });
});

it("describes an exit out of memory by the limit and the memory that was used", () => {
  const exit = (limit?: number, peak?: number) => describeExit({ how: "memory", limit, peak });
  const [limit, peak] = [64 * 1024 ** 2, 70 * 1024 ** 2];
  expect([exit(limit, peak), exit(limit), exit(undefined, peak), exit()]).toEqual([
    "out of memory: used 70 MiB of 64 MiB",
    "out of memory: the limit is 64 MiB",
    "out of memory: used 70 MiB",
    "out of memory",
  ]);
});

it("describes an exit for a missed ready-timeout by the timeout", () => {
  expect(describeExit({ how: "unready", after: 30_000 })).toBe("not ready after 30s (ready-timeout)");
});
