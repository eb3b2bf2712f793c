import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULTS } from "../../core/definition.ts";
import type { Exit } from "../../core/exit.ts";
import { type Event, initial, type State, step } from "../../core/lifecycle.ts";
import { isInstanceRecord, wrongRecordFields } from "./instance-record.ts";

const recordOf = (state: State): unknown =>
  JSON.parse(JSON.stringify({ state, fingerprint: "", size: 1, role: "active" }));

const EXITS: readonly Exit[] = [
  { how: "code", code: 0 },
  { how: "code", code: 100, cause: "out-of-memory" },
  { how: "signal", signal: "SIGSEGV", cause: "stop-timeout" },
  { how: "out-of-memory", limit: 64, peak: undefined },
  { how: "too-many-files", held: "more than 64 files" },
  { how: "launch-failed", stage: "entering /srv/x", reason: "no such directory" },
  { how: "not-ready", after: 30_000 },
  { how: "unknown" },
];

const simple = fc.constantFrom<Event>(
  ...(["start", "once", "stop", "restart", "drain", "idle", "pause", "continue", "deadline"] as const).map((type) => ({
    type,
  })),
  { type: "connection" },
  { type: "block", block: { kind: "forbidden", reason: "not granted", bans: "owner" } },
  { type: "block", block: { kind: "invalid", reason: "a.conf:1: wrong" } },
  { type: "unblock" },
);
const ofRun = fc.oneof(
  fc.constantFrom("launched", "ready", "gone").map((type) => ({ type })),
  fc.record({ type: fc.constant("exited"), exit: fc.constantFrom(...EXITS), connected: fc.boolean() }),
);

test("every state that a lifecycle reaches is a valid record, as JSON", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(simple, ofRun), { maxLength: 30 }),
      fc.boolean(),
      fc.constantFrom(0, 60_000),
      (events, ondemand, wait) => {
        let state = initial;
        for (const [index, event] of events.entries()) {
          const now = 1000.5 + index * 700;
          const rules = { ...DEFAULTS, ondemand };
          // A report is about the latest run.
          const current = { run: state.run, ...event } as Event;
          state = step(state, current, { now, random: 0.5, earliest: now + wait, rules }).state;
          expect(wrongRecordFields(recordOf(state))).toEqual([]);
        }
      },
    ),
  );
});

test("a state without any one of its required fields is no valid record", () => {
  const required = Object.entries(initial).flatMap(([name, value]) => (value === undefined ? [] : name));
  expect(required).not.toHaveLength(0);
  for (const name of required) {
    const { [name]: _, ...rest } = { ...initial } as Record<string, unknown>;
    expect(isInstanceRecord({ state: rest, fingerprint: "", size: 1, role: "active" }), name).toBe(false);
  }
});
