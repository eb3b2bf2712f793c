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

it("goes through the instances one by one", () => {
  expect(move(begin, {})).toEqual({ move: "begin", old: 1 });
  expect(pair).toEqual({ queue: [2], pair: { old: 1, candidate: 3 }, replaced: 0 });
  expect(move(passed(pair), {})).toEqual({ move: "begin", old: 2 });
  expect(move({ queue: [], pair: undefined, replaced: 2 }, {})).toEqual({ move: "done" });
});

test.each<[string, Record<number, Standing | State>, Partial<Definition>, Move["move"]]>([
  ["the new one starts", { 1: running(0), 3: { ...running(NOW), phase: "starting" } }, {}, "wait"],
  ["nobody has come to the new one yet", { 1: running(0), 3: running(NOW - 999) }, {}, "wait"],
  ["somebody has", { 1: running(0), 3: { state: running(NOW - 5), reached: true } }, {}, "drain"],
  ["nobody has, but it has run for ready-after", { 1: running(0), 3: running(NOW - 1000) }, {}, "drain"],
  ["it has told that it is ready", { 1: running(0), 3: running(NOW) }, { ready: "notify" }, "drain"],
  ["it is paused", { 1: running(0), 3: { ...running(0), paused: true } }, {}, "wait"],
  ["its socket is not bound yet", { 1: running(0), 3: running(NOW - 5000) }, { listen: "path" }, "wait"],
  [
    "nor when it tells that it is ready",
    { 1: running(0), 3: running(NOW - 5000) },
    { listen: "path", ready: "notify" },
    "wait",
  ],
  ["it never binds its socket", { 1: running(0), 3: running(0) }, { listen: "path", readyTimeout: 40_000 }, "back"],
  ["its socket is bound", { 1: running(0), 3: { state: running(0), reached: true } }, { listen: "path" }, "drain"],
  ["the new one died", { 1: running(0), 3: over }, {}, "back"],
  [
    "the new one may not run",
    { 1: running(0), 3: { ...over, block: { kind: "forbidden", reason: "no" } } },
    {},
    "back",
  ],
  ["the new one was stopped", { 1: running(0), 3: going }, {}, "back"],
  ["the new one is no more", { 1: running(0) }, {}, "back"],
  ["the old one goes", { 1: going, 3: running(0) }, {}, "wait"],
  ["the old one has gone", { 3: running(0) }, {}, "pass"],
  ["the new one crashed when the old one had gone", { 3: over }, {}, "pass"],
])("%s", (_name, standings, own, expected) => {
  expect(move(pair, standings, own).move).toBe(expected);
});

it("says why it goes back", () => {
  expect(move(pair, { 1: running(0), 3: over })).toEqual({ move: "back", candidate: 3, reason: "exited with code 7" });
});
