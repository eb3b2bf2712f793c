/**
 * State machine of one instance: a table of phase x event that the compiler checks for completeness. It is pure: the engine
 * feeds it events and performs the effects that it returns.
 *
 * A run is one process tree, from its launch until no process is left. A restart is the phase `stopping` with the desired
 * state `up`: the next run starts when the last one has ended, so two runs never live at once.
 */
import { retryDelay, spacing } from "./backoff.ts";
import type { Definition } from "./definition.ts";
import { type Exit, isFinal } from "./exit.ts";

/** Why a daemon must not run. */
export interface Block {
  readonly kind: "forbidden" | "invalid";
  readonly reason: string;
  /** `owner`: all daemons of its owner are forbidden, not this one alone. */
  readonly bans?: "owner";
}

export type Phase =
  | "stopped"
  | "starting"
  | "running"
  | "stopping"
  | "coolingdown"
  | "failed"
  | "asleep"
  | "forbidden"
  | "invalid";

/** State of one instance. Plain data that is written to its record. Times are in ms. */
export interface State {
  readonly phase: Phase;
  readonly want: "up" | "down";
  /** Number of the latest run; 0 before the first. */
  readonly run: number;
  /** When the `deadline` event is due; undefined where none is. */
  readonly deadline: number | undefined;
  /** Why it must not run; kept while the last run ends. */
  readonly block: Block | undefined;
  /** When the latest run was spawned. */
  readonly startedAt: number | undefined;
  /** When `up` was last requested. */
  readonly wantedAt: number | undefined;
  /** Failed runs in a row. */
  readonly failures: number;
  /** Restarts by the supervisor since the last stop or restart by request. */
  readonly respawns: number;
  /** Whether the end of the latest run was requested. */
  readonly stopRequested: boolean;
  /** Whether it is not restarted when its run ends. */
  readonly once: boolean;
  /** Whether its processes are suspended by SIGSTOP. */
  readonly paused: boolean;
  /** While stopping: whether it was killed after stop-timeout. */
  readonly killed: boolean;
  /** While stopping: whether it is draining. */
  readonly draining: boolean;
  /** While stopping: whether it is asleep afterwards. */
  readonly goingToSleep: boolean;
  /** Whether the restart waits because its owner has none left in this minute. */
  readonly throttled?: boolean;
  /** Exit of the last run that ended, whether it failed, and whether its `finish` reported a permanent failure. */
  readonly last:
    | { readonly run: number; readonly exit: Exit; readonly failed: boolean; readonly permanent?: boolean }
    | undefined;
}

/** An event. One about a run carries its number; if that is not the latest run, the event is stale and ignored. */
export type Event =
  | { readonly type: "start" }
  /** Start it, and do not restart it when it ends. */
  | { readonly type: "once" }
  | { readonly type: "stop" }
  | { readonly type: "restart" }
  /** Drain and terminate it: it is no longer needed. */
  | { readonly type: "drain" }
  /** No client has come for idle-timeout. */
  | { readonly type: "idle" }
  | { readonly type: "pause" }
  | { readonly type: "continue" }
  /** The launch has become the daemon's program. `waited`: the launch had to wait, so its run starts only now. */
  | { readonly type: "launched"; readonly run: number; readonly waited?: boolean }
  /** Its process reported readiness. */
  | { readonly type: "ready"; readonly run: number }
  /** The main process exited. `connected`: the run has accepted a client. */
  | { readonly type: "exited"; readonly run: number; readonly exit: Exit; readonly connected: boolean }
  /**
   * No process of the run is left. `permanent`: its `finish` reported a permanent failure; `begun`: when the shim has launched
   * the next run by itself; undefined where it has not.
   */
  | { readonly type: "gone"; readonly run: number; readonly permanent?: boolean; readonly begun?: number | undefined }
  | { readonly type: "deadline" }
  /** A client waits at the held socket. */
  | { readonly type: "connection" }
  | { readonly type: "block"; readonly block: Block }
  | { readonly type: "unblock" };

/** An action on one run. */
export type Effect =
  | { readonly type: "spawn"; readonly run: number }
  /** Send TERM to each of its processes once that has no client, or at once where it catches TERM. */
  | { readonly type: "drain"; readonly run: number }
  /** Send STOP, or CONT, to all of its processes. */
  | { readonly type: "pause" | "continue"; readonly run: number }
  /** Send TERM to all of its processes. */
  | { readonly type: "terminate"; readonly run: number }
  /** Send KILL to all that is left of it. */
  | { readonly type: "kill"; readonly run: number };

/** The input of a step besides state and event. */
export interface Circumstances {
  /** Milliseconds of a clock that never goes back. */
  readonly now: number;
  /** From [0, 1). */
  readonly random: number;
  /** When its owner's restart budget permits the next restart: `now`, or later. */
  readonly earliest?: number;
  /** Of the daemon's definition. */
  readonly rules: Pick<
    Definition,
    "stopTimeout" | "healthyAfter" | "maxRetries" | "drain" | "ondemand" | "ready" | "readyTimeout"
  >;
}

/** The next state, and the effects that lead to it. */
export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** Time from the launch until a process counts as running, in ms: a program that fails at once exits within it. */
export const SETTLE = 100;

/** State before the first request. */
export const initial: State = {
  phase: "stopped",
  want: "down",
  run: 0,
  deadline: undefined,
  block: undefined,
  startedAt: undefined,
  wantedAt: undefined,
  failures: 0,
  respawns: 0,
  stopRequested: false,
  once: false,
  paused: false,
  killed: false,
  draining: false,
  goingToSleep: false,
  last: undefined,
};

type Events = { readonly [T in Event["type"]]: Extract<Event, { type: T }> & { readonly type: T } };
type Of<T extends Event["type"]> = { [E in T]: Events[E] }[T];
type Cell<T extends Event["type"]> = (state: State, event: Of<T>, at: Circumstances) => Step;
type Row<T extends Event["type"]> = { readonly [P in Phase]: Cell<T> };

const to = (state: State, change: Partial<State>, ...effects: Effect[]): Step => {
  const { throttled: _, ...rest } = state;
  return { state: { ...rest, deadline: undefined, ...change }, effects };
};

/** No effect: the state stays, and with it its deadline. */
const same = (state: State): Step => ({ state, effects: [] });

const spawn = (state: State, at: Circumstances, change: Partial<State>): Step =>
  to(
    state,
    { phase: "starting", run: state.run + 1, startedAt: at.now, stopRequested: false, killed: false, ...change },
    { type: "spawn", run: state.run + 1 },
  );

const requestUp = (at: Circumstances) =>
  ({ want: "up", wantedAt: at.now, failures: 0, once: false, goingToSleep: false }) as const;
const requestRestart = (at: Circumstances) => ({ ...requestUp(at), respawns: 0 }) as const;
const sleep = (state: State, change: Partial<State>): Step => to(state, { phase: "asleep", ...change });
const begin = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? sleep(state, requestUp(at)) : spawn(state, at, requestUp(at));
const beginOnce = (state: State, _event: unknown, at: Circumstances): Step =>
  spawn(state, at, { ...requestUp(at), once: true });
const beginAgain = (state: State, event: unknown, at: Circumstances): Step =>
  begin({ ...state, respawns: 0 }, event, at);
const wake = (state: State, _event: unknown, at: Circumstances): Step => spawn(state, at, {});
/** Restarted by the supervisor, or asleep until the next client, if the owner has a restart left in this minute. */
const respawn = (state: State, _event: unknown, at: Circumstances): Step => {
  if ((at.earliest ?? at.now) > at.now)
    return to(state, { phase: "coolingdown", deadline: at.earliest, throttled: true });
  const respawns = state.respawns + 1;
  return at.rules.ondemand && !state.once ? sleep(state, { respawns }) : spawn(state, at, { respawns });
};

/** Drains the run, or terminates it at once. A suspended run could do neither, so it continues first. */
const finish = (state: State, at: Circumstances, draining: boolean, change: Partial<State>): Step =>
  to(
    state,
    {
      phase: "stopping",
      stopRequested: true,
      draining,
      paused: false,
      deadline: at.now + (draining ? at.rules.drain : at.rules.stopTimeout),
      ...change,
    },
    { type: draining ? "drain" : "terminate", run: state.run },
    ...(state.paused ? [{ type: "continue", run: state.run } as const] : []),
  );
const terminate = (state: State, at: Circumstances, change: Partial<State>): Step => finish(state, at, false, change);

const idle = { want: "down", wantedAt: undefined, respawns: 0, failures: 0, once: false, goingToSleep: false } as const;
const down = { want: "down", wantedAt: undefined, respawns: 0 } as const;
const end = (state: State, _event: unknown, at: Circumstances): Step => terminate(state, at, down);
const drain = (state: State, _event: unknown, at: Circumstances): Step => finish(state, at, true, down);
const goToSleep = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? finish(state, at, true, { goingToSleep: true }) : same(state);
const cycle = (state: State, _event: unknown, at: Circumstances): Step => terminate(state, at, requestRestart(at));

const rest = (state: State): Step => to(state, { ...idle, phase: state.block?.kind ?? "stopped" });

/** While it is stopping, only the desired state changes; `stopRequested` lets the next run start without a back-off. */
const desireUp = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...requestUp(at), stopRequested: true },
  effects: [],
});
const desireRestart = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...requestRestart(at), stopRequested: true },
  effects: [],
});
const desireOnce = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...requestUp(at), stopRequested: true, once: true },
  effects: [],
});
const desireDown = (state: State, _event: unknown, at: Circumstances): Step =>
  state.draining ? terminate(state, at, idle) : { state: { ...state, ...idle, stopRequested: true }, effects: [] };
const desireNothing = (state: State): Step => ({ state: { ...state, ...idle, stopRequested: true }, effects: [] });

const setOnce = (state: State): Step => ({ state: { ...state, once: true }, effects: [] });
const stay = (state: State, event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? same(state) : begin(state, event, at);
const clearOnce = (state: State): Step =>
  state.once ? { state: { ...state, once: false }, effects: [] } : same(state);

const suspend = (state: State): Step =>
  state.paused ? same(state) : { state: { ...state, paused: true }, effects: [{ type: "pause", run: state.run }] };
const resume = (state: State): Step => ({
  state: { ...state, paused: false },
  effects: [{ type: "continue", run: state.run }],
});

const settle = (state: State, event: Of<"launched">, at: Circumstances): Step =>
  to(state, {
    deadline: at.now + (at.rules.ready === "accept" ? SETTLE : at.rules.readyTimeout),
    ...(event.waited && { startedAt: at.now }),
  });
/** Time is up: it is running, or it has failed where it had to report readiness. */
const due = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ready === "accept"
    ? up(state)
    : finish(state, at, true, {
        stopRequested: false,
        last: { run: state.run, exit: { how: "not-ready", after: at.rules.readyTimeout }, failed: true },
      });
const up = (state: State): Step => to(state, { phase: "running" });

const hasFailed = (state: State, event: Of<"exited">, at: Circumstances): boolean =>
  event.exit.how === "too-many-files" ||
  (!event.connected && at.now - (state.startedAt ?? at.now) < at.rules.healthyAfter);

/** It exited by itself: its remaining processes must not meet the next run. */
const ended = (state: State, event: Of<"exited">, at: Circumstances): Step =>
  to(
    state,
    {
      phase: "stopping",
      stopRequested: false,
      paused: false,
      deadline: at.now + at.rules.stopTimeout,
      last: { run: event.run, exit: event.exit, failed: hasFailed(state, event, at) },
    },
    { type: "kill", run: state.run },
  );

/** It exited on request; its remaining processes have until the deadline. */
const ending = (state: State, event: Of<"exited">): Step =>
  state.last?.run === event.run
    ? same(state)
    : { state: { ...state, last: { run: event.run, exit: withCause(state, event.exit), failed: false } }, effects: [] };
const withCause = ({ killed }: State, exit: Exit): Exit =>
  killed && exit.how === "signal" && exit.signal === "SIGKILL" && !exit.cause
    ? { ...exit, cause: "stop-timeout" }
    : exit;

/** Shortest time from one KILL to the next, in ms. */
const KILL_AGAIN = 1000;

/** The deadline has passed: TERM follows draining, and KILL follows TERM. */
const press = (state: State, _event: unknown, at: Circumstances): Step =>
  to(
    state,
    {
      draining: false,
      killed: !state.draining,
      deadline: at.now + (state.draining ? at.rules.stopTimeout : Math.max(at.rules.stopTimeout, KILL_AGAIN)),
    },
    { type: state.draining ? "terminate" : "kill", run: state.run },
  );

/** No process is left: rest, or restart at once or later (docs/reference/lifecycle.md#respawn). */
const next = (state: State, event: Of<"gone">, at: Circumstances): Step => {
  const over = { ...state, startedAt: undefined, draining: false, paused: false, goingToSleep: false };
  if (event.begun !== undefined) return take(over, at, state, event.begun);
  if (over.block) return to(over, { phase: over.block.kind, respawns: 0, failures: 0 });
  if (over.want === "down") return rest(over);
  if (state.goingToSleep) return sleep(over, { respawns: 0, failures: 0 });
  if (over.once && !over.stopRequested) return rest(over);
  if (over.stopRequested || !over.last) return spawn(over, at, {});
  if (event.permanent) return to(over, { phase: "failed", last: { ...over.last, permanent: true } });
  if (isFinal(over.last.exit)) return to(over, { phase: "failed", failures: over.failures + 1 });
  if (!over.last.failed) {
    const clean = over.last.exit.how === "code" && over.last.exit.code === 0;
    return later({ ...over, failures: 0 }, (state.startedAt ?? at.now) + spacing(clean), at);
  }
  const failures = over.failures + 1;
  if (failures > (at.rules.maxRetries ?? Number.POSITIVE_INFINITY)) return to(over, { phase: "failed", failures });
  return later({ ...over, failures }, at.now + retryDelay(failures, at.random), at);
};
/** A run that the shim has launched stays where it is desired as it is. Otherwise it ends as the former one was to end. */
const take = (over: State, at: Circumstances, { draining, goingToSleep }: State, startedAt: number): Step => {
  const failures = over.last?.failed ? over.failures + 1 : 0;
  const isWelcome = over.want === "up" && !over.block && !over.once && !over.stopRequested && !goingToSleep;
  const begun = spawn(over, at, { startedAt, respawns: over.respawns + (isWelcome ? 1 : 0), failures });
  if (isWelcome) return begun;
  const change = over.once && !over.stopRequested ? idle : { goingToSleep };
  const { state, effects } = finish(begun.state, at, draining, change);
  return { state, effects: [...begun.effects, ...effects] };
};
const later = (state: State, when: number, at: Circumstances): Step =>
  when <= at.now ? respawn(state, undefined, at) : to(state, { phase: "coolingdown", deadline: when });

const blocked = (state: State, event: Of<"block">): Step => to(state, { phase: event.block.kind, block: event.block });
/** A forbidden run is stopped; an invalid file does not stop a run. */
const blockWhileAlive = (state: State, event: Of<"block">, at: Circumstances): Step =>
  event.block.kind === "forbidden" ? terminate(state, at, { block: event.block }) : same(state);
/** A run that is no longer permitted does not drain. */
const blockWhileStopping = (state: State, event: Of<"block">, at: Circumstances): Step => {
  if (event.block.kind !== "forbidden") return same(state);
  const { stopRequested } = state;
  if (state.draining) return terminate(state, at, { block: event.block, stopRequested });
  return { state: { ...state, block: event.block }, effects: [] };
};
const unblock = (state: State): Step => ({ state: { ...state, block: undefined }, effects: [] });
const release = (state: State, _event: unknown, at: Circumstances): Step => {
  const free = { ...state, block: undefined };
  return free.want === "up" ? begin(free, undefined, at) : to(free, { phase: "stopped" });
};

// biome-ignore format: the table is read in columns
const table: { readonly [T in Event["type"]]: Row<T> } = {
  start:      { stopped: begin,     starting: clearOnce,       running: clearOnce,       stopping: desireUp,           coolingdown: begin,      failed: begin,      asleep: stay,       forbidden: same,    invalid: same },
  once:       { stopped: beginOnce, starting: setOnce,         running: setOnce,         stopping: desireOnce,         coolingdown: beginOnce,  failed: beginOnce,  asleep: beginOnce,  forbidden: same,    invalid: same },
  restart:    { stopped: begin,     starting: cycle,           running: cycle,           stopping: desireRestart,      coolingdown: beginAgain, failed: beginAgain, asleep: beginAgain, forbidden: same,    invalid: same },
  stop:       { stopped: rest,      starting: end,             running: end,             stopping: desireDown,         coolingdown: rest,       failed: rest,       asleep: rest,       forbidden: rest,    invalid: rest },
  drain:      { stopped: rest,      starting: drain,           running: drain,           stopping: desireNothing,      coolingdown: rest,       failed: rest,       asleep: rest,       forbidden: rest,    invalid: rest },
  idle:       { stopped: same,      starting: same,            running: goToSleep,       stopping: same,               coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  pause:      { stopped: same,      starting: suspend,         running: suspend,         stopping: same,               coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  continue:   { stopped: same,      starting: resume,          running: resume,          stopping: resume,             coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  launched:   { stopped: same,      starting: settle,          running: same,            stopping: same,               coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  ready:      { stopped: same,      starting: up,              running: same,            stopping: same,               coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  exited:     { stopped: same,      starting: ended,           running: ended,           stopping: ending,             coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  gone:       { stopped: same,      starting: same,            running: same,            stopping: next,               coolingdown: same,       failed: same,       asleep: same,       forbidden: same,    invalid: same },
  deadline:   { stopped: same,      starting: due,             running: same,            stopping: press,              coolingdown: respawn,    failed: same,       asleep: same,       forbidden: same,    invalid: same },
  connection: { stopped: same,      starting: same,            running: same,            stopping: same,               coolingdown: same,       failed: same,       asleep: wake,       forbidden: same,    invalid: same },
  block:      { stopped: blocked,   starting: blockWhileAlive, running: blockWhileAlive, stopping: blockWhileStopping, coolingdown: blocked,    failed: blocked,    asleep: blocked,    forbidden: blocked, invalid: blocked },
  unblock:    { stopped: unblock,   starting: unblock,         running: unblock,         stopping: unblock,            coolingdown: unblock,    failed: unblock,    asleep: unblock,    forbidden: release, invalid: release },
};

/** One step: the cell of the table, unless the event is about an earlier run. */
export const step = <T extends Event["type"]>(state: State, event: Of<T>, at: Circumstances): Step => {
  if ("run" in event && event.run !== state.run) return same(state);
  return table[event.type][state.phase](state, event, at);
};

/** Whether a run lives: its processes may exist, and no other run may start. */
export const alive = (state: State): boolean =>
  state.phase === "starting" || state.phase === "running" || state.phase === "stopping";

/** Whether its run serves, or will. */
export const isServing = ({ phase }: State): boolean => phase === "starting" || phase === "running";

/** A client waits for a restart that is due within this time, in ms. */
const SHORT_WAIT = 2000;

/** Whether a client that connects now will be served soon. */
export const isExpected = ({ phase, want, deadline }: State, now: number): boolean => {
  if (phase === "coolingdown") return (deadline ?? now) - now <= SHORT_WAIT;
  return phase === "asleep" || (want === "up" && (phase === "starting" || phase === "running" || phase === "stopping"));
};
