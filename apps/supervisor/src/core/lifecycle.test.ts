import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import type { Ready } from "./definition.ts";
import type { Exit } from "./exit.ts";
import { at, clean, crash, endRun, forbidden, invalid, NOW, states } from "./lifecycle.fake.ts";
import {
  alive,
  type Circumstances,
  type Event,
  initial,
  isExpected,
  type Phase,
  type State,
  step,
} from "./lifecycle.ts";

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
  stopped:     { start: "starting spawn4", stop: "stopped", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden",           invalidate: "invalid", unblock: "stopped", once: "starting spawn4", drain: "stopped", idle: "-", pause: "-", continue: "-", ready: "-" },
  starting:    { start: "-",               stop: "stopping terminate3", restart: "stopping terminate3", launched: "starting", exited: "stopping kill3", gone: "-",      deadline: "running",         connection: "-",               forbid: "stopping terminate3", invalidate: "-",                unblock: "starting", once: "starting", drain: "stopping drain3", idle: "-", pause: "starting pause3", continue: "starting continue3", ready: "running" },
  running:     { start: "-",               stop: "stopping terminate3", restart: "stopping terminate3", launched: "-",                 exited: "stopping kill3", gone: "-",      deadline: "-",               connection: "-",               forbid: "stopping terminate3", invalidate: "-",                unblock: "running", once: "running", drain: "stopping drain3", idle: "-", pause: "running pause3", continue: "running continue3", ready: "-" },
  stopping:    { start: "stopping",        stop: "stopping",         restart: "stopping",                     launched: "-",                 exited: "stopping",       gone: "stopped", deadline: "stopping kill3",  connection: "-",               forbid: "stopping",                     invalidate: "-",                unblock: "stopping", once: "stopping", drain: "stopping", idle: "-", pause: "-", continue: "stopping continue3", ready: "-" },
  coolingdown: { start: "starting spawn4", stop: "stopped", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "starting spawn4", connection: "-",               forbid: "forbidden",           invalidate: "invalid", unblock: "coolingdown", once: "starting spawn4", drain: "stopped", idle: "-", pause: "-", continue: "-", ready: "-" },
  failed:      { start: "starting spawn4", stop: "stopped", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden",           invalidate: "invalid", unblock: "failed", once: "starting spawn4", drain: "stopped", idle: "-", pause: "-", continue: "-", ready: "-" },
  asleep:      { start: "starting spawn4", stop: "stopped", restart: "starting spawn4",              launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "starting spawn4", forbid: "forbidden",           invalidate: "invalid", unblock: "asleep", once: "starting spawn4", drain: "stopped", idle: "-", pause: "-", continue: "-", ready: "-" },
  forbidden:   { start: "-",               stop: "forbidden", restart: "-",                          launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden",           invalidate: "invalid", unblock: "starting spawn4", once: "-", drain: "forbidden", idle: "-", pause: "-", continue: "-", ready: "-" },
  invalid:     { start: "-",               stop: "invalid", restart: "-",                            launched: "-",                 exited: "-",              gone: "-",                deadline: "-",               connection: "-",               forbid: "forbidden",           invalidate: "invalid", unblock: "stopped", once: "-", drain: "invalid", idle: "-", pause: "-", continue: "-", ready: "-" },
};

test("a finish that reports a permanent failure fails a daemon whose desired state is up, and changes no other state", () => {
  const gone = { type: "gone", run: 3, permanent: true } as const;
  const last = { run: 3, exit: clean, failed: false };
  const over: State = { ...states.stopping, want: "up", stopRequested: false, last };
  expect(step(over, gone, at(NOW))).toMatchObject({
    state: { phase: "failed", want: "up", last: { ...last, permanent: true } },
    effects: [],
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

describe.each(Object.keys(cells) as Phase[])("an instance in the phase %s", (phase) => {
  test.each(Object.entries(cells[phase]))("the event %s leads an instance to %j", (event, expected) => {
    expect(inShort(states[phase], events[event as keyof typeof events])).toBe(expected);
  });

  it("an instance ignores events of an earlier run", () => {
    for (const type of ["launched", "gone"] as const) {
      expect(inShort(states[phase], { type, run: 2 })).toBe("-");
    }
    expect(inShort(states[phase], { type: "exited", run: 2, exit: crash, connected: false })).toBe("-");
  });
});

describe("back-off", () => {
  it("back-off waits 0, 0.2, 0.4, 0.8 ... 60 s after consecutive failed runs", () => {
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

  it("back-off starts from 0 again after a run that accepted a client or lasted for healthy-after", () => {
    const failing = { ...states.running, startedAt: NOW - 5000, failures: 7 };
    expect(endRun(failing, NOW, { connected: true })).toMatchObject({ phase: "starting", failures: 0 });
    expect(endRun({ ...failing, startedAt: NOW - 10_000 }, NOW, {})).toMatchObject({ phase: "starting", failures: 0 });
    expect(endRun(failing, NOW, {})).toMatchObject({ phase: "coolingdown", failures: 8 });
  });

  it("back-off restarts at most 10 times a second after a crash and 100 times a second after exit code 0", () => {
    const young = { ...states.running, startedAt: NOW - 4 };
    expect(endRun(young, NOW, { connected: true })).toMatchObject({ phase: "coolingdown", deadline: NOW + 96 });
    expect(endRun(young, NOW, { connected: true, exit: clean })).toMatchObject({
      phase: "coolingdown",
      deadline: NOW + 6,
    });
    const settled = { ...states.running, startedAt: NOW - 100 };
    expect(endRun(settled, NOW, { connected: true }).phase).toBe("starting");
  });

  it("back-off fails after max-retries failed runs", () => {
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
  it.each(["start", "once"] as const)("respawns stay counted at a %s without a stop before", (type) => {
    for (const phase of ["coolingdown", "failed"] as const) {
      expect(step(states[phase], { type }, at(NOW)).state).toMatchObject({ respawns: 2, failures: 0, wantedAt: NOW });
    }
    const crashed = step(states.running, { type: "exited", run: 3, exit: crash, connected: false }, at(NOW)).state;
    expect(step(crashed, { type }, at(NOW)).state.respawns).toBe(2);
  });

  it.each(Object.values(states).map((state) => [state.phase, state] as const))(
    "respawns restart from 0 after a stop or a restart in %s",
    (_, state) => {
      for (const type of ["stop", "restart"] as const) {
        const after = step(state, { type }, at(NOW)).state;
        // Blocked, it has ended.
        if (type === "stop" || after.phase !== state.phase) expect(after.respawns).toBe(0);
      }
    },
  );
});

describe("exit code 100", () => {
  const final = { how: "code", code: 100 } as const;

  it("exit code 100 is followed by no restart, however long the run lasted and whether or not it accepted a client", () => {
    for (const startedAt of [NOW, NOW - 3_600_000]) {
      const state = endRun({ ...states.running, startedAt }, NOW, { exit: final, connected: true });
      expect(state).toMatchObject({ phase: "failed", want: "up", failures: 1, deadline: undefined });
      expect(step(state, { type: "start" }, at(NOW)).state).toMatchObject({ phase: "starting", failures: 0 });
    }
  });

  it("exit code 100 does not prevent the next run of a requested restart", () => {
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    expect(endRun(stopping, NOW, { exit: final }).phase).toBe("stopped");
    const cycling = step(states.running, { type: "restart" }, at(NOW)).state;
    expect(endRun(cycling, NOW, { exit: final })).toMatchObject({ phase: "starting", failures: 0 });
  });

  it("exit code 100 is not confused with 99 and 101", () => {
    for (const code of [99, 101]) {
      const state = endRun({ ...states.running, startedAt: NOW }, NOW, { exit: { how: "code", code } });
      expect(state.phase).toBe("starting");
    }
  });
});

describe("a launch that had to wait", () => {
  it("a launch that had to wait starts when it continues: its waiting time does not count towards healthy-after", () => {
    const waiting: State = { ...states.starting, startedAt: NOW - 3_600_000 };
    const launched = step(waiting, { type: "launched", run: 3, waited: true }, at(NOW)).state;
    expect(launched.startedAt).toBe(NOW);
    expect(endRun(launched, NOW + 50, {})).toMatchObject({ failures: 1, last: { failed: true } });
    expect(step(waiting, { type: "launched", run: 3 }, at(NOW)).state.startedAt).toBe(NOW - 3_600_000);
  });
});

test.each<[string, State, boolean]>([
  ["an instance runs", states.running, true],
  ["an instance is asleep", states.asleep, true],
  ["an instance starts again", { ...states.stopping, want: "up" }, true],
  ["an instance retries soon", { ...states.coolingdown, deadline: NOW + 1000 }, true],
  ["an instance retries in two seconds", { ...states.coolingdown, deadline: NOW + 2000 }, true],
  ["an instance retries later", { ...states.coolingdown, deadline: NOW + 2001 }, false],
  ["an instance stops", states.stopping, false],
  ["an instance has failed", states.failed, false],
])("%s, and isExpected says whether a client will be served soon", (_name, state, expected) => {
  expect(isExpected(state, NOW)).toBe(expected);
});

it("a run that was ended for the files beside its socket has failed, although it accepted a client", () => {
  const exit = { how: "too-many-files", held: "more than 64 files" } as const;
  expect(endRun(states.running, NOW, { connected: true, exit }).last?.failed).toBe(true);
});

it("a run that was requested by once during a stop starts when the stop has ended", () => {
  const { state } = step(states.stopping, { type: "once" }, at(NOW));
  expect(step(state, { type: "gone", run: 3 }, at(NOW)).state).toMatchObject({ phase: "starting", once: true });
});

describe("stop and restart", () => {
  it("stop and restart send TERM first, and KILL again and again after stop-timeout", () => {
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    expect(stopping).toMatchObject({ want: "down", deadline: NOW + 10_000, respawns: 0 });
    const late = step(stopping, { type: "deadline" }, at(NOW + 10_000));
    expect(late.effects).toEqual([{ type: "kill", run: 3 }]);
    expect(late.state.deadline).toBe(NOW + 20_000);
  });

  it("stop and restart send KILL at most once a second, also where stop-timeout is 0", () => {
    const { state, effects } = step(states.stopping, { type: "deadline" }, at(NOW, { stopTimeout: 0 }));
    expect(effects).toEqual([{ type: "kill", run: 3 }]);
    expect(state.deadline).toBe(NOW + 1000);
  });

  it("stop and restart records stop-timeout as the cause where the run did not end after TERM", () => {
    const end = (state: State, exit: Exit): Exit | undefined =>
      step(state, { type: "exited", run: 3, exit, connected: false }, at(NOW)).state.last?.exit;
    const stopping = step(states.running, { type: "stop" }, at(NOW)).state;
    const late = step(stopping, { type: "deadline" }, at(NOW)).state;
    expect(end(late, crash)).toEqual({ ...crash, cause: "stop-timeout" });
    expect(end(stopping, crash)).toEqual(crash);
    expect(end(late, clean)).toEqual(clean);
    expect(end(late, { ...crash, cause: "out-of-memory" })).toEqual({ ...crash, cause: "out-of-memory" });
    const next = step(late, { type: "start" }, at(NOW)).state;
    const again = step(next, { type: "gone", run: 3 }, at(NOW)).state;
    const second = step({ ...again, phase: "running" }, { type: "stop" }, at(NOW)).state;
    expect(step(second, { type: "exited", run: 4, exit: crash, connected: false }, at(NOW)).state.last?.exit).toEqual(
      crash,
    );
  });

  it("stop and restart start the next run without a back-off as soon as the old one has ended, however it exited", () => {
    const cycling = step({ ...states.running, failures: 9 }, { type: "restart" }, at(NOW)).state;
    const exited = step(cycling, { type: "exited", run: 3, exit: crash, connected: false }, at(NOW)).state;
    expect(step(exited, { type: "gone", run: 3 }, at(NOW)).state).toMatchObject({
      phase: "starting",
      run: 4,
      failures: 0,
    });
  });

  it("stop and restart end in the desired state that was requested last", () => {
    const requests = ["stop", "restart", "stop", "start", "restart", "stop"] as const;
    const state = requests.reduce((before, type) => step(before, { type }, at(NOW)).state, states.running);
    expect(state).toMatchObject({ phase: "stopping", want: "down" });
    expect(step(state, { type: "gone", run: 3 }, at(NOW)).state.phase).toBe("stopped");
  });

  it("stop and restart show forbidden when the run of a forbidden daemon has ended, and start it when it is permitted again", () => {
    const evicted = step(states.running, { type: "block", block: forbidden }, at(NOW)).state;
    const gone = step(evicted, { type: "gone", run: 3 }, at(NOW)).state;
    expect(gone).toMatchObject({ phase: "forbidden", want: "up" });
    expect(step(gone, { type: "unblock" }, at(NOW)).state).toMatchObject({ phase: "starting", run: 4 });
  });
});

/** A machine that performs the effects of the table and feeds it events. */
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

it("an instance never has two live runs, and reaches its desired state once no more events come", () => {
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

describe("restarts beyond the owner's budget", () => {
  const late = { ...at(NOW), earliest: NOW + 5000 };
  const ended = {
    ...states.stopping,
    want: "up",
    stopRequested: false,
    last: { run: 3, exit: crash, failed: false },
  } as const;

  it("restarts beyond the owner's budget wait in coolingdown until the budget permits one", () => {
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

  it("restarts beyond the owner's budget do not delay a requested start or restart, nor the first start", () => {
    const { state } = step(ended, { type: "gone", run: 3 }, late);
    expect(step(state, { type: "start" }, late).state.phase).toBe("starting");
    expect(step(states.stopped, { type: "start" }, late).state.phase).toBe("starting");
    expect(step({ ...ended, stopRequested: true }, { type: "gone", run: 3 }, late).state.phase).toBe("starting");
  });
});
