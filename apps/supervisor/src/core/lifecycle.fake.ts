/** States and circumstances for tests of the state machine. */
import { DEFAULTS } from "./definition.ts";
import { type Circumstances, type Event, initial, type Phase, type State, step } from "./lifecycle.ts";

const rules: Circumstances["rules"] = DEFAULTS;
export const at = (now: number, own: Partial<Circumstances["rules"]> = {}): Circumstances => ({
  now,
  random: 0.5,
  rules: { ...rules, ...own },
});

export const NOW = 100_000;
export const crash = { how: "signal", signal: "SIGKILL" } as const;
export const clean = { how: "code", code: 0 } as const;
export const forbidden = { kind: "forbidden", reason: "not granted" } as const;
export const invalid = { kind: "invalid", reason: "a.conf:1: wrong" } as const;

/** A state of each phase. Its run has the number 3 and started 20 s ago. */
export const begun: State = {
  ...initial,
  want: "up",
  run: 3,
  startedAt: NOW - 20_000,
  wantedAt: NOW - 50_000,
  respawns: 2,
};
export const states: Record<Phase, State> = {
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

/** Lets a run end by itself and returns the state after nothing of it is left. */
export const endRun = (
  state: State,
  now: number,
  how: Partial<Extract<Event, { type: "exited" }>>,
  own = {},
): State => {
  const exited = step(state, { type: "exited", run: state.run, exit: crash, connected: false, ...how }, at(now, own));
  return step(exited.state, { type: "gone", run: state.run }, at(now, own)).state;
};
