/** A daemon as the contract shows it. */
import type { DaemonStatus } from "../contract.ts";
import { alive, describeExit, type State } from "../core/lifecycle.ts";
import type { Daemon } from "../daemon.ts";

const seconds = (ms: number): number => Math.max(0, Math.round(ms / 100) / 10);

const reason = (state: State): string => {
  if (state.bar && !alive(state)) return state.bar.reason;
  const last = state.last ? describeExit(state.last.exit) : "";
  if (state.phase === "failed") return `${last}; given up after ${state.failures} failed runs`;
  if (state.phase === "coolingdown") return last;
  return "";
};

/**
 * The status of a daemon.
 * @param now the supervisor's clock, in ms
 */
export const present = (daemon: Daemon, now: number): DaemonStatus => {
  const { state, key, terms, file } = daemon;
  const { phase, want, deadline, startedAt, wantedAt, respawns } = state;
  const definition = terms?.definition;
  return {
    id: daemon.id,
    owner: key.owner.name,
    name: key.name,
    state: phase,
    want,
    pid: daemon.pid,
    respawns,
    cooldown: phase === "coolingdown" && deadline !== undefined ? seconds(deadline - now) : 0,
    uptime: alive(state) && startedAt !== undefined ? seconds(now - startedAt) : 0,
    total: want === "up" && wantedAt !== undefined ? seconds(now - wantedAt) : 0,
    reason: reason(state),
    user: terms?.account.name ?? key.owner.name,
    configFile: file.path,
    logFile: definition?.output === "log" ? `${terms?.logDirectory}/current` : "",
    logDropped: daemon.logLoss.lines,
    logTrouble: daemon.logLoss.reason,
    socket: daemon.socketPath,
    changed: daemon.changed,
    // What bars it is its reason, and need not be said twice.
    warnings: [...file.errors, ...file.warnings].filter((warning) => warning !== state.bar?.reason),
  };
};
