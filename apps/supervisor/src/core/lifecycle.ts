/**
 * The life of one process of a daemon: a table of phase x event, complete by the compiler. It reads nothing but its
 * arguments; supervisor.ts feeds it events and performs the effects it returns.
 *
 * A run is one process tree from its spawn until nothing of it is left. `restart` is "stopping, wanted up": the next
 * run begins when the last one is gone, so two never live at once.
 */
import { retryDelay, spacing } from "./backoff.ts";
import type { Definition } from "./definition.ts";
import { roughSize, writeDuration, writeSize } from "./units.ts";

/** What is known of what is behind an end: the kernel had no memory left for it, or it did not end when it was told to. */
export type Cause = "memory" | "stop-timeout";

/** How a run's main process ended. */
export type Exit =
  | { readonly how: "code"; readonly code: number; readonly cause?: Cause }
  | { readonly how: "signal"; readonly signal: string; readonly cause?: Cause }
  /** It was ended because it had more memory than it may have: `limit` and what it had of it at most, in bytes. */
  | { readonly how: "memory"; readonly limit: number | undefined; readonly peak: number | undefined }
  /** It was ended because of what it had put into its socket's directory: `held`, in words. */
  | { readonly how: "files"; readonly held: string }
  /** It never became the daemon: `stage` is what was being done, e.g. `entering /srv/x`. */
  | { readonly how: "launch"; readonly stage: string; readonly reason: string }
  /** It did not tell in time that it is ready; `after` in ms. */
  | { readonly how: "unready"; readonly after: number }
  /** Its parent was an earlier supervisor, and the kernel tells only parents. */
  | { readonly how: "unknown" };

/** Why a daemon may not run at all. */
export interface Block {
  readonly kind: "forbidden" | "invalid";
  readonly reason: string;
  /** Forbidden is all that its owner has, not this daemon alone. */
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

/** All there is to know of one process's life. Plain data: it is written to the state file as it is. Times are in ms. */
export interface State {
  readonly phase: Phase;
  readonly want: "up" | "down";
  /** Number of the latest run; 0 before the first. */
  readonly run: number;
  /** When the `deadline` event is due, if it is. */
  readonly deadline: number | undefined;
  /** Why it may not run; kept while the last run ends. */
  readonly block: Block | undefined;
  /** When the latest run was spawned. */
  readonly startedAt: number | undefined;
  /** When it was last asked to be up. */
  readonly wantedAt: number | undefined;
  /** Failed runs in a row. */
  readonly failures: number;
  /** Runs begun by itself since it was last stopped or restarted. */
  readonly respawns: number;
  /** Whether the end of the latest run was asked for. */
  readonly stopRequested: boolean;
  /** Whether its next end is its last, as `once` wants it. */
  readonly once: boolean;
  /** Whether its processes are held by SIGSTOP. */
  readonly paused: boolean;
  /** While it is stopping: whether it was killed, having had its time. */
  readonly killed: boolean;
  /** While it is stopping: whether it is still let finish its requests. */
  readonly draining: boolean;
  /** While it is stopping: whether it goes to sleep after that. */
  readonly goingToSleep: boolean;
  /** Whether it waits because its owner has no restart left in this minute. */
  readonly throttled?: boolean;
  /** How the last run that ended did so, whether it counts as failed, and whether its `finish` said that another is of no use. */
  readonly last:
    | { readonly run: number; readonly exit: Exit; readonly failed: boolean; readonly permanent?: boolean }
    | undefined;
}

/** What happened. News of a run carries its number; news of any other run than the latest is stale and dropped. */
export type Event =
  | { readonly type: "start" }
  /** Start it; it is not begun again when it ends. */
  | { readonly type: "once" }
  | { readonly type: "stop" }
  | { readonly type: "restart" }
  /** It is no longer needed: let it finish its requests, then end it. */
  | { readonly type: "drain" }
  /** Nobody wants anything of it. */
  | { readonly type: "idle" }
  | { readonly type: "pause" }
  | { readonly type: "continue" }
  /** The launch chain has become the daemon's shell. `waited`: it had something to wait for, and begins only now. */
  | { readonly type: "launched"; readonly run: number; readonly waited?: boolean }
  /** It tells that it is ready. */
  | { readonly type: "ready"; readonly run: number }
  /** The main process ended. `connected`: the run has taken a connection. */
  | { readonly type: "exited"; readonly run: number; readonly exit: Exit; readonly connected: boolean }
  /** Nothing of the run is left. `permanent`: its `finish` says that another run is of no use. */
  | { readonly type: "gone"; readonly run: number; readonly permanent?: boolean }
  | { readonly type: "deadline" }
  /** Somebody connects to the held socket. */
  | { readonly type: "connection" }
  | { readonly type: "block"; readonly block: Block }
  | { readonly type: "unblock" };

/** What is to be done, always about one run. Preparing saves time and means nothing else: it may fail, or be left out. */
export type Effect =
  | { readonly type: "spawn"; readonly run: number }
  /** Lead the launch of a run to come as far as it goes without starting anything of the tenant's. */
  | { readonly type: "prepare"; readonly run: number }
  /** Give up what was prepared. */
  | { readonly type: "discard"; readonly run: number }
  /** TERM to each of its processes when that has no request in hand, or knows what to do with it. */
  | { readonly type: "drain"; readonly run: number }
  /** STOP, or CONT, to all of it. */
  | { readonly type: "pause" | "continue"; readonly run: number }
  /** TERM to all of it. */
  | { readonly type: "terminate"; readonly run: number }
  /** KILL to whatever is left of it. */
  | { readonly type: "kill"; readonly run: number };

/** What a step needs besides state and event. */
export interface Circumstances {
  /** Milliseconds of a clock that never goes back. */
  readonly now: number;
  /** From [0, 1). */
  readonly random: number;
  /** When its owner has a restart left: `now`, or later. */
  readonly earliest?: number;
  /** The daemon's own (see Definition). */
  readonly rules: Pick<
    Definition,
    "stopTimeout" | "healthyAfter" | "maxRetries" | "drain" | "ondemand" | "ready" | "readyTimeout"
  >;
}

/** A state and what to do on the way to it. */
export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

/** From the launch until a process counts as running: a program that cannot even begin ends within it. */
export const SETTLE = 100;

/** A daemon that nobody has asked anything of yet. */
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

type Of<T extends Event["type"]> = Extract<Event, { type: T }>;
type Cell<T extends Event["type"]> = (state: State, event: Of<T>, at: Circumstances) => Step;
type Row<T extends Event["type"]> = { readonly [P in Phase]: Cell<T> };

const to = (state: State, change: Partial<State>, ...effects: Effect[]): Step => {
  const { throttled: _, ...rest } = state;
  return { state: { ...rest, deadline: undefined, ...change }, effects };
};

/** Nothing to do: the state, its deadline too, is as it was. */
const same = (state: State): Step => ({ state, effects: [] });

const discard = (state: State): Effect => ({ type: "discard", run: state.run + 1 });

const spawn = (state: State, at: Circumstances, change: Partial<State>): Step =>
  to(
    state,
    { phase: "starting", run: state.run + 1, startedAt: at.now, stopRequested: false, killed: false, ...change },
    { type: "spawn", run: state.run + 1 },
  );

const wished = (at: Circumstances) =>
  ({ want: "up", wantedAt: at.now, failures: 0, once: false, goingToSleep: false }) as const;
const afresh = (at: Circumstances) => ({ ...wished(at), respawns: 0 }) as const;
const sleep = (state: State, change: Partial<State>): Step => to(state, { phase: "asleep", ...change }, discard(state));
const begin = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? sleep(state, wished(at)) : spawn(state, at, wished(at));
const beginOnce = (state: State, _event: unknown, at: Circumstances): Step =>
  spawn(state, at, { ...wished(at), once: true });
const beginAnew = (state: State, event: unknown, at: Circumstances): Step =>
  begin({ ...state, respawns: 0 }, event, at);
const wake = (state: State, _event: unknown, at: Circumstances): Step => spawn(state, at, {});
/** Begun again by itself, or by the next who comes, if its owner has a restart left in this minute. */
const respawn = (state: State, _event: unknown, at: Circumstances): Step => {
  if ((at.earliest ?? at.now) > at.now)
    return to(state, { phase: "coolingdown", deadline: at.earliest, throttled: true });
  const respawns = state.respawns + 1;
  return at.rules.ondemand && !state.once ? sleep(state, { respawns }) : spawn(state, at, { respawns });
};

/** What ends is let finish (`easing`), or told at once; what is held by STOP could do neither. */
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
    discard(state),
  );
const terminate = (state: State, at: Circumstances, change: Partial<State>): Step => finish(state, at, false, change);

const idle = { want: "down", wantedAt: undefined, respawns: 0, failures: 0, once: false, goingToSleep: false } as const;
const down = { want: "down", wantedAt: undefined, respawns: 0 } as const;
const end = (state: State, _event: unknown, at: Circumstances): Step => terminate(state, at, down);
const drain = (state: State, _event: unknown, at: Circumstances): Step => finish(state, at, true, down);
const goToSleep = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? finish(state, at, true, { goingToSleep: true }) : same(state);
const cycle = (state: State, _event: unknown, at: Circumstances): Step => terminate(state, at, afresh(at));

const rest = (state: State): Step => to(state, { ...idle, phase: state.block?.kind ?? "stopped" }, discard(state));

/** While it is stopping the wish alone changes; `stopRequested` makes the next run begin without waiting. */
const wishUp = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...wished(at), stopRequested: true },
  effects: [],
});
const wishAnew = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...afresh(at), stopRequested: true },
  effects: [],
});
const wishOnce = (state: State, _event: unknown, at: Circumstances): Step => ({
  state: { ...state, ...wished(at), stopRequested: true, once: true },
  effects: [],
});
const wishDown = (state: State, _event: unknown, at: Circumstances): Step =>
  state.draining ? terminate(state, at, idle) : { state: { ...state, ...idle, stopRequested: true }, effects: [] };
const wishAway = (state: State): Step => ({ state: { ...state, ...idle, stopRequested: true }, effects: [] });

const lastly = (state: State): Step => ({ state: { ...state, once: true }, effects: [] });
const stay = (state: State, event: unknown, at: Circumstances): Step =>
  at.rules.ondemand ? same(state) : begin(state, event, at);
const lasting = (state: State): Step => (state.once ? { state: { ...state, once: false }, effects: [] } : same(state));

const hold = (state: State): Step =>
  state.paused ? same(state) : { state: { ...state, paused: true }, effects: [{ type: "pause", run: state.run }] };
const unhold = (state: State): Step => ({
  state: { ...state, paused: false },
  effects: [{ type: "continue", run: state.run }],
});

const settle = (state: State, event: Of<"launched">, at: Circumstances): Step =>
  to(
    state,
    {
      deadline: at.now + (at.rules.ready === "accept" ? SETTLE : at.rules.readyTimeout),
      ...(event.waited && { startedAt: at.now }),
    },
    { type: "prepare", run: state.run + 1 },
  );
/** Time makes it a running one, or a failed one where it should have told. */
const due = (state: State, _event: unknown, at: Circumstances): Step =>
  at.rules.ready === "accept"
    ? up(state)
    : finish(state, at, true, {
        stopRequested: false,
        last: { run: state.run, exit: { how: "unready", after: at.rules.readyTimeout }, failed: true },
      });
const up = (state: State): Step => to(state, { phase: "running" });

const hasFailed = (state: State, event: Of<"exited">, at: Circumstances): boolean =>
  event.exit.how === "files" || (!event.connected && at.now - (state.startedAt ?? at.now) < at.rules.healthyAfter);

/** Ended by itself: what it left behind must not meet the next run. */
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

/** Ended because it was told to; the rest of its tree has until the deadline. */
const ending = (state: State, event: Of<"exited">): Step =>
  state.last?.run === event.run
    ? same(state)
    : { state: { ...state, last: { run: event.run, exit: withCause(state, event.exit), failed: false } }, effects: [] };
const withCause = ({ killed }: State, exit: Exit): Exit =>
  killed && exit.how === "signal" && exit.signal === "SIGKILL" && !exit.cause
    ? { ...exit, cause: "stop-timeout" }
    : exit;

/** It had its time: to finish its requests, and then to end. */
const press = (state: State, _event: unknown, at: Circumstances): Step =>
  to(
    state,
    { draining: false, killed: !state.draining, deadline: at.now + at.rules.stopTimeout },
    { type: state.draining ? "terminate" : "kill", run: state.run },
  );

/** Exit code by which a program asks not to be run again (docs/reference/lifecycle.md#respawn). */
const FINAL_CODE = 100;

/** Whether a run that ended so is not followed by another until somebody starts it. */
export const isFinal = (exit: Exit): boolean => exit.how === "code" && exit.code === FINAL_CODE;

/** Nothing of the run is left: rest, or begin again, at once or later (issue: Back-off). */
const next = (state: State, event: Of<"gone">, at: Circumstances): Step => {
  const over = { ...state, startedAt: undefined, draining: false, paused: false, goingToSleep: false };
  if (over.block) return to(over, { phase: over.block.kind, respawns: 0, failures: 0 }, discard(over));
  if (over.want === "down") return rest(over);
  if (state.goingToSleep) return sleep(over, { respawns: 0, failures: 0 });
  if (over.once && !over.stopRequested) return rest(over);
  if (over.stopRequested || !over.last) return spawn(over, at, {});
  if (event.permanent) return to(over, { phase: "failed", last: { ...over.last, permanent: true } }, discard(over));
  if (isFinal(over.last.exit)) return to(over, { phase: "failed", failures: over.failures + 1 }, discard(over));
  if (!over.last.failed) {
    const clean = over.last.exit.how === "code" && over.last.exit.code === 0;
    return later({ ...over, failures: 0 }, (state.startedAt ?? at.now) + spacing(clean), at);
  }
  const failures = over.failures + 1;
  if (failures > (at.rules.maxRetries ?? Number.POSITIVE_INFINITY))
    return to(over, { phase: "failed", failures }, discard(over));
  return later({ ...over, failures }, at.now + retryDelay(failures, at.random), at);
};
const later = (state: State, when: number, at: Circumstances): Step =>
  when <= at.now ? respawn(state, undefined, at) : to(state, { phase: "coolingdown", deadline: when });

const blocked = (state: State, event: Of<"block">): Step =>
  to(state, { phase: event.block.kind, block: event.block }, discard(state));
const note = (state: State, event: Of<"block">): Step => ({ state: { ...state, block: event.block }, effects: [] });
/** What is alive is stopped when it is forbidden; a broken file does not take it down. */
const evict = (state: State, event: Of<"block">, at: Circumstances): Step =>
  event.block.kind === "forbidden" ? terminate(state, at, { block: event.block }) : same(state);
const evictLater = (state: State, event: Of<"block">): Step =>
  event.block.kind === "forbidden" ? note(state, event) : same(state);
const unblock = (state: State): Step => ({ state: { ...state, block: undefined }, effects: [] });
const release = (state: State, _event: unknown, at: Circumstances): Step => {
  const free = { ...state, block: undefined };
  return free.want === "up" ? begin(free, undefined, at) : to(free, { phase: "stopped" });
};

// biome-ignore format: the table is read in columns
const table = {
  start:      { stopped: begin,          starting: lasting,       running: lasting,        stopping: wishUp,        coolingdown: begin,      failed: begin,           asleep: stay,            forbidden: same,         invalid: same },
  once:       { stopped: beginOnce,      starting: lastly,        running: lastly,         stopping: wishOnce,      coolingdown: beginOnce,  failed: beginOnce,       asleep: beginOnce,       forbidden: same,         invalid: same },
  restart:    { stopped: begin,          starting: cycle,         running: cycle,          stopping: wishAnew,      coolingdown: beginAnew,  failed: beginAnew,       asleep: beginAnew,       forbidden: same,         invalid: same },
  stop:       { stopped: rest,           starting: end,           running: end,            stopping: wishDown,      coolingdown: rest,       failed: rest,            asleep: rest,            forbidden: rest,         invalid: rest },
  drain:      { stopped: rest,           starting: drain,         running: drain,          stopping: wishAway,      coolingdown: rest,       failed: rest,            asleep: rest,            forbidden: rest,         invalid: rest },
  idle:       { stopped: same,           starting: same,          running: goToSleep,      stopping: same,          coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  pause:      { stopped: same,           starting: hold,          running: hold,           stopping: same,          coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  continue:   { stopped: same,           starting: unhold,        running: unhold,         stopping: unhold,        coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  launched:   { stopped: same,           starting: settle,        running: same,           stopping: same,          coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  ready:      { stopped: same,           starting: up,            running: same,           stopping: same,          coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  exited:     { stopped: same,           starting: ended,         running: ended,          stopping: ending,        coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  gone:       { stopped: same,           starting: same,          running: same,           stopping: next,          coolingdown: same,       failed: same,            asleep: same,            forbidden: same,         invalid: same },
  deadline:   { stopped: same,           starting: due,           running: same,           stopping: press,         coolingdown: respawn,    failed: same,            asleep: same,            forbidden: same,         invalid: same },
  connection: { stopped: same,           starting: same,          running: same,           stopping: same,          coolingdown: same,       failed: same,            asleep: wake,            forbidden: same,         invalid: same },
  block:      { stopped: blocked,        starting: evict,         running: evict,          stopping: evictLater,    coolingdown: blocked,    failed: blocked,         asleep: blocked,         forbidden: blocked,      invalid: blocked },
  unblock:    { stopped: unblock,        starting: unblock,       running: unblock,        stopping: unblock,       coolingdown: unblock,    failed: unblock,         asleep: unblock,         forbidden: release,      invalid: release },
} satisfies { readonly [T in Event["type"]]: Row<T> };

/** One step: the cell of the table, unless the event is news of a run that is over. */
export const step = (state: State, event: Event, at: Circumstances): Step => {
  if ("run" in event && event.run !== state.run) return same(state);
  const cell = table[event.type][state.phase] as Cell<typeof event.type>;
  return cell(state, event as never, at);
};

/** Whether a run lives: its process may exist, and no other may be spawned. */
export const alive = (state: State): boolean =>
  state.phase === "starting" || state.phase === "running" || state.phase === "stopping";

/** A retry that is due within it is worth waiting for, in a client's eyes. In ms. */
const SHORT_WAIT = 2000;

/** Whether a client who comes now can expect to be served by it, if not at once. */
export const isExpected = ({ phase, want, deadline }: State, now: number): boolean => {
  if (phase === "coolingdown") return (deadline ?? now) - now <= SHORT_WAIT;
  return phase === "asleep" || (want === "up" && (phase === "starting" || phase === "running" || phase === "stopping"));
};

/** What exit codes mean: those that we know of ourselves, and those of a POSIX shell. */
const KNOWN_CODES: ReadonlyMap<number, string> = new Map([
  [FINAL_CODE, " (it asks not to be started again)"],
  [126, " (the shell may not execute a program that `start` names)"],
  [127, " (the shell does not find a program that `start` names)"],
]);

/** `: used 63.9 MiB of 64 MiB`, as far as both are known. */
const outOfMemory = (limit: number | undefined, peak: number | undefined): string => {
  if (limit === undefined) return peak === undefined ? "" : `: used ${roughSize(peak)}`;
  return peak === undefined ? `: the limit is ${writeSize(limit)}` : `: used ${roughSize(peak)} of ${writeSize(limit)}`;
};

/** Words for an exit: `exited with code 1`, `killed by SIGKILL`, `entering /srv/x: no such directory`. */
export const describeExit = (exit: Exit): string => {
  switch (exit.how) {
    case "code":
      return `exited with code ${exit.code}${KNOWN_CODES.get(exit.code) ?? ""}`;
    case "signal":
      return `killed by ${exit.signal}${exit.cause === "memory" ? " (out of memory)" : ""}`;
    case "memory":
      return `out of memory${outOfMemory(exit.limit, exit.peak)}`;
    case "files":
      return `killed because its socket directory holds ${exit.held}`;
    case "launch":
      return `${exit.stage}: ${exit.reason}`;
    case "unready":
      return `not ready after ${writeDuration(exit.after)} (ready-timeout)`;
    case "unknown":
      return "ended while the supervisor was away";
  }
};

/** Whether a request has been fulfilled. */
export type Verdict = "pending" | { readonly ok: true } | { readonly ok: false; readonly reason: string };

/**
 * Whether the desired state `wish` is reached, or cannot be.
 * @param since number of the latest run when it was requested
 */
export const verdict = (state: State, wish: "up" | "down", since: number): Verdict => {
  if (state.block && !alive(state)) return wish === "down" ? { ok: true } : { ok: false, reason: state.block.reason };
  if (wish === "down") {
    if (state.want === "up") return { ok: false, reason: "another request started it again" };
    return alive(state) ? "pending" : { ok: true };
  }
  if (state.want === "down") return { ok: false, reason: "another request stopped it" };
  if (state.phase === "running" || state.phase === "asleep") return { ok: true };
  const isOver = state.phase === "failed" || ((state.last?.run ?? 0) > since && !state.stopRequested);
  return state.last && isOver ? { ok: false, reason: describeExit(state.last.exit) } : "pending";
};
