import { describe, expect, it } from "vitest";
import { forbidden, states } from "./lifecycle.fake.ts";
import type { State } from "./lifecycle.ts";
import { verdict } from "./verdict.ts";

describe("verdict", () => {
  const failed = { run: 4, exit: { how: "code", code: 1 }, failed: true } as const;
  it.each<[string, State, "up" | "down", number, unknown]>([
    ["running is up", states.running, "up", 3, { ok: true }],
    ["starting is not known yet", states.starting, "up", 2, "pending"],
    [
      "a run that ended since the request is a failure",
      { ...states.starting, run: 5, last: failed },
      "up",
      3,
      { ok: false, reason: "exited with code 1" },
    ],
    ["an earlier exit decides nothing", { ...states.starting, run: 5, last: failed }, "up", 4, "pending"],
    [
      "a failed daemon does not start by itself",
      { ...states.failed, want: "up", last: failed },
      "up",
      4,
      { ok: false, reason: "exited with code 1" },
    ],
    [
      "a stop was requested meanwhile: a start fails",
      states.stopping,
      "up",
      3,
      { ok: false, reason: "a stop was requested meanwhile" },
    ],
    [
      "a run of once that has ended is reported with its exit",
      { ...states.stopped, run: 4, last: failed },
      "up",
      3,
      { ok: false, reason: "exited with code 1" },
    ],
    ["a stop is pending while a run is stopping", states.stopping, "down", 3, "pending"],
    ["a stop succeeds when it is stopped", states.stopped, "down", 3, { ok: true }],
    [
      "a start was requested meanwhile: a stop fails",
      states.running,
      "down",
      3,
      { ok: false, reason: "a start was requested meanwhile" },
    ],
    [
      "a start of a forbidden daemon fails with the reason",
      states.forbidden,
      "up",
      3,
      { ok: false, reason: "not granted" },
    ],
    ["a stop of a forbidden daemon succeeds", states.forbidden, "down", 3, { ok: true }],
    [
      "a stop of a forbidden daemon is pending while its run is stopping",
      { ...states.stopping, block: forbidden },
      "down",
      3,
      "pending",
    ],
    [
      "a run that ended because its end was requested is no failure",
      { ...states.stopping, want: "up", run: 4, last: failed },
      "up",
      3,
      "pending",
    ],
  ])("%s", (_name, state, desired, since, expected) => {
    expect(verdict(state, desired, since)).toEqual(expected);
  });
});
