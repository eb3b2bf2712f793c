import { expect, it, test } from "vitest";
import { DEFAULTS, type Definition } from "./definition.ts";
import { initial, type State } from "./lifecycle.ts";
import { type Move, nextMove, paired, passed, type Rollout, type Standing } from "./rollout.ts";

const NOW = 50_000;
const rules = (own: Partial<Definition> = {}): Definition => ({ ...DEFAULTS, start: "x", listen: "fastcgi", ...own });
const running = (since: number): State => ({ ...initial, phase: "running", want: "up", run: 1, startedAt: since });
const over: State = {
  ...running(0),
  phase: "coolingdown",
  last: { run: 1, exit: { how: "code", code: 7 }, failed: true },
};
const going: State = { ...running(0), phase: "stopping", want: "down" };

const begin: Rollout = { queue: [1, 2], pair: undefined, replaced: 0 };
const pair = paired(begin, 3);

const move = (plan: Rollout, standings: Record<number, Standing | State>, own: Partial<Definition> = {}): Move =>
  nextMove(
    plan,
    (number) => {
      const found = standings[number];
      return found && ("state" in found ? found : { state: found, reached: false });
    },
    rules(own),
    NOW,
  );

it("a rollout replaces the instances one by one", () => {
  expect(move(begin, {})).toEqual({ move: "begin", old: 1 });
  expect(pair).toEqual({ queue: [2], pair: { old: 1, candidate: 3 }, replaced: 0 });
  expect(move(passed(pair), {})).toEqual({ move: "begin", old: 2 });
  expect(move({ queue: [], pair: undefined, replaced: 2 }, {})).toEqual({ move: "done" });
});

test.each<[string, Record<number, Standing | State>, Partial<Definition>, Move["move"]]>([
  [
    "a rollout waits while the candidate starts",
    { 1: running(0), 3: { ...running(NOW), phase: "starting" } },
    {},
    "wait",
  ],
  [
    "a rollout waits while the candidate has had no client and ready-after has not passed",
    { 1: running(0), 3: running(NOW - 999) },
    {},
    "wait",
  ],
  [
    "a rollout drains the old instance when the candidate has had a client",
    { 1: running(0), 3: { state: running(NOW - 5), reached: true } },
    {},
    "drain",
  ],
  [
    "a rollout drains the old instance when the candidate has run for ready-after",
    { 1: running(0), 3: running(NOW - 1000) },
    {},
    "drain",
  ],
  [
    "a rollout drains the old instance when the candidate has reported readiness",
    { 1: running(0), 3: running(NOW) },
    { ready: "notify" },
    "drain",
  ],
  ["a rollout waits while the candidate is paused", { 1: running(0), 3: { ...running(0), paused: true } }, {}, "wait"],
  [
    "a rollout waits while the candidate has not bound its socket",
    { 1: running(0), 3: running(NOW - 5000) },
    { listen: "path" },
    "wait",
  ],
  [
    "a rollout waits for the bound socket even when the candidate has reported readiness",
    { 1: running(0), 3: running(NOW - 5000) },
    { listen: "path", ready: "notify" },
    "wait",
  ],
  [
    "a rollout rolls back when the candidate does not bind its socket in time",
    { 1: running(0), 3: running(0) },
    { listen: "path", readyTimeout: 40_000 },
    "back",
  ],
  [
    "a rollout waits for the bound socket for ready-timeout after ready-after",
    { 1: running(0), 3: running(NOW - 40_999) },
    { listen: "path", readyAfter: 1000, readyTimeout: 40_000 },
    "wait",
  ],
  [
    "a rollout rolls back when ready-after and ready-timeout have passed without a bound socket",
    { 1: running(0), 3: running(NOW - 41_000) },
    { listen: "path", readyAfter: 1000, readyTimeout: 40_000 },
    "back",
  ],
  [
    "a rollout drains the old instance when the socket of the candidate is published",
    { 1: running(0), 3: { state: running(0), reached: true } },
    { listen: "path" },
    "drain",
  ],
  ["a rollout rolls back when the candidate exits", { 1: running(0), 3: over }, {}, "back"],
  [
    "a rollout rolls back when the candidate is blocked",
    { 1: running(0), 3: { ...over, block: { kind: "forbidden", reason: "no" } } },
    {},
    "back",
  ],
  ["a rollout rolls back when the candidate is stopped", { 1: running(0), 3: going }, {}, "back"],
  ["a rollout rolls back when the candidate does not exist", { 1: running(0) }, {}, "back"],
  ["a rollout waits while the old instance stops", { 1: going, 3: running(0) }, {}, "wait"],
  ["a rollout proceeds when the old instance has ended", { 3: running(0) }, {}, "pass"],
  ["a rollout proceeds when the candidate exits after the old instance has ended", { 3: over }, {}, "pass"],
])("%s", (_name, standings, own, expected) => {
  expect(move(pair, standings, own).move).toBe(expected);
});

it("a rollback carries its reason", () => {
  expect(move(pair, { 1: running(0), 3: over })).toEqual({ move: "back", candidate: 3, reason: "exited with code 7" });
});
