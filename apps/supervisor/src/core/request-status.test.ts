import { describe, expect, it } from "vitest";
import { forbidden, states } from "./lifecycle.fake.ts";
import type { State } from "./lifecycle.ts";
import { requestStatus } from "./request-status.ts";

describe("the status of a request", () => {
  const failed = { run: 4, exit: { how: "code", code: 1 }, failed: true } as const;
  it.each<[string, State, "up" | "down", number, unknown]>([
    ["a start succeeds when the daemon is running", states.running, "up", 3, { ok: true }],
    ["a start is pending while the daemon is starting", states.starting, "up", 2, "pending"],
    [
      "a start fails when a run has ended since the request",
      { ...states.starting, run: 5, last: failed },
      "up",
      3,
      { ok: false, reason: "exited with code 1", ran: true },
    ],
    [
      "a start is pending after an exit from before the request",
      { ...states.starting, run: 5, last: failed },
      "up",
      4,
      "pending",
    ],
    [
      "a start fails with the last exit when the daemon is failed",
      { ...states.failed, want: "up", last: failed },
      "up",
      4,
      { ok: false, reason: "exited with code 1", ran: false },
    ],
    [
      "a start fails when a stop was requested meanwhile",
      states.stopping,
      "up",
      3,
      { ok: false, reason: "a stop was requested meanwhile", ran: false },
    ],
    [
      "a request for once reports the exit of its run",
      { ...states.stopped, run: 4, last: failed },
      "up",
      3,
      { ok: false, reason: "exited with code 1", ran: true },
    ],
    [
      "a start fails without a run when the launch failed",
      {
        ...states.failed,
        want: "up",
        last: {
          run: 4,
          exit: { how: "launch-failed", stage: "entering /srv/x", reason: "no such directory" },
          failed: true,
        },
      },
      "up",
      3,
      { ok: false, reason: "entering /srv/x: no such directory", ran: false },
    ],
    ["a stop is pending while a run is stopping", states.stopping, "down", 3, "pending"],
    ["a stop succeeds when the daemon is stopped", states.stopped, "down", 3, { ok: true }],
    [
      "a stop fails when a start was requested meanwhile",
      states.running,
      "down",
      3,
      { ok: false, reason: "a start was requested meanwhile", ran: false },
    ],
    [
      "a start of a forbidden daemon fails with the reason",
      states.forbidden,
      "up",
      3,
      { ok: false, reason: "not granted", ran: false },
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
    expect(requestStatus(state, desired, since)).toEqual(expected);
  });
});
