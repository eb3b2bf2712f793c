import { expect, test } from "vitest";
import { DEFAULTS, type Definition } from "./definition.ts";
import { mayFollow } from "./following.ts";
import { initial, type State } from "./lifecycle.ts";

const RUNNING: State = { ...initial, phase: "running", want: "up", run: 3 };
const service = (finish: boolean) => ({ directory: "/home/alice/x", contents: "", logger: false, finish });

test("a run that serves as desired may be followed by itself", () => {
  expect(mayFollow(RUNNING, DEFAULTS)).toBe(true);
  expect(mayFollow({ ...RUNNING, phase: "starting" }, { ...DEFAULTS, service: service(false) })).toBe(true);
});

test.each<[string, Partial<State>]>([
  ["that stops", { phase: "stopping" }],
  ["that is to stop", { want: "down" }],
  ["of `once`", { once: true }],
  ["that is forbidden", { block: { kind: "forbidden", reason: "x" } }],
  ["after a failed one", { failures: 1 }],
])("a run %s may not", (_, change) => {
  expect(mayFollow({ ...RUNNING, ...change }, DEFAULTS)).toBe(false);
});

test.each<[string, Partial<Definition>]>([
  ["that sleeps until the next client", { ondemand: true }],
  ["without retries", { maxRetries: 0 }],
  ["that binds a socket itself", { listen: "path" }],
  ["with a finish", { service: service(true) }],
])("a run of a daemon %s may not", (_, change) => {
  expect(mayFollow(RUNNING, { ...DEFAULTS, ...change })).toBe(false);
});
