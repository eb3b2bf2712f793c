/** The status of a daemon, as the contract has it. */
import type { DaemonState, DaemonStatus, InstanceStatus, LimitStatus, Usage } from "@dmhost/contract";
import { type EnforcedLimit, shortcomings, summary } from "../core/enforcement.ts";
import { describeExit, isFinal } from "../core/exit.ts";
import { alive, type State } from "../core/lifecycle.ts";
import type { ControlledDaemon, ControlledInstance, RunUsage } from "./engine.ts";

const seconds = (ms: number): number => Math.max(0, Math.round(ms / 100) / 10);

const reason = ({ state, waiting }: ControlledInstance): string => {
  if (state.block && !alive(state)) return state.block.reason;
  const last = state.last ? describeExit(state.last.exit) : "";
  if (state.phase === "failed" && state.last?.permanent) return `${last}; its finish exited with 125: no further run`;
  if (state.phase === "failed" && state.last && isFinal(state.last.exit)) return last;
  if (state.phase === "failed") return `${last}; given up after ${state.failures} failed runs`;
  if (state.phase === "coolingdown") return state.throttled ? `${last}; ${THROTTLED}` : last;
  return waiting;
};

const THROTTLED = "its owner's restarts of this minute are used up ([limits])";

const stateOf = ({ phase, paused }: State): DaemonState => (paused ? "paused" : phase);

const presentInstance = (instance: ControlledInstance, now: number): InstanceStatus => {
  const { key, pid, state } = instance;
  const { phase, deadline, startedAt, respawns } = state;
  return {
    instance: key.instance,
    state: stateOf(state),
    pid,
    respawns,
    cooldown: phase === "coolingdown" && deadline !== undefined ? seconds(deadline - now) : 0,
    uptime: alive(state) && startedAt !== undefined ? seconds(now - startedAt) : 0,
    reason: reason(instance),
  };
};

const presentLimit = ({ key, value, budget, by, pending, note }: EnforcedLimit): LimitStatus => ({
  key,
  value,
  budget,
  enforcedBy: by,
  pending,
  note,
});

/** Sums over all runs, but the maximum of pressures and of values that are reported for the whole daemon. */
const usageOf = (daemon: ControlledDaemon): Usage | null => {
  const used = daemon.instances().flatMap((instance) => instance.usage() ?? []);
  if (used.length === 0) return null;
  const sum = (a: number, b: number): number => a + b;
  const highest = (a: number, b: number): number => Math.max(a, b);
  const all = (field: keyof RunUsage, joined: (a: number, b: number) => number): number | null => {
    const known = used.flatMap((each) => each[field] ?? []);
    return known.length === 0 ? null : known.reduce(joined);
  };
  return {
    memory: all("memory", sum),
    memoryPeak: all("memoryPeak", sum),
    memoryPressure: all("memoryPressure", highest),
    processes: all("processes", sum),
    cpu: all("cpu", sum),
    cpuThrottled: all("throttled", highest),
    // A run that ends out of memory is over before its usage is read.
    oomKills: (all("oomKills", sum) ?? 0) + daemon.oomKilled,
  };
};

/**
 * The status of a daemon.
 * @param now the supervisor's clock, in ms
 * @param measured whether to measure its resource usage
 */
export const present = (daemon: ControlledDaemon, now: number, measured = false): DaemonStatus => {
  const { key, terms, file, representative } = daemon;
  const { state } = representative;
  const { want, wantedAt } = state;
  const shown = presentInstance(representative, now);
  const instances = daemon.instances().map((one) => (one === representative ? shown : presentInstance(one, now)));
  const definition = terms?.definition;
  const { limits, means } = daemon;
  return {
    id: daemon.id,
    owner: key.owner.name,
    name: key.name,
    state: shown.state,
    desiredState: want,
    pid: shown.pid,
    respawns: instances.reduce((sum, { respawns }) => sum + respawns, 0),
    cooldown: shown.cooldown,
    uptime: shown.uptime,
    downtime: alive(state) ? 0 : seconds(now - representative.downSince),
    autostart: file.definition?.autostart ?? definition?.autostart ?? true,
    total: want === "up" && wantedAt !== undefined ? seconds(now - wantedAt) : 0,
    reason: shown.reason,
    user: terms?.account.name ?? key.owner.name,
    configFile: file.path,
    logFile: definition?.output === "log" ? `${terms?.logDirectory}/current` : "",
    logDropped: daemon.logLoss.lines,
    logProblem: daemon.logLoss.reason,
    socket: daemon.socketPath,
    configChanged: daemon.changed,
    warnings: [
      // The reason of a block is not repeated.
      ...[...file.errors, ...file.warnings].filter((warning) => warning !== state.block?.reason),
      ...daemon.hosts.filter((host) => host.state === "refused").map((host) => host.reason),
      ...new Set(daemon.hosts.flatMap(({ logs }) => logs?.problem || [])),
      ...shortcomings(limits, means),
    ],
    hosts: daemon.hosts.map(({ logs, ...host }) => ({
      ...host,
      accessLog: logs?.access ?? "",
      errorLog: logs?.error ?? "",
      logProblem: logs?.problem ?? "",
    })),
    instances,
    limits: {
      enforcedBy: summary(limits, means),
      keys: limits.map(presentLimit),
    },
    usage: measured ? usageOf(daemon) : null,
  };
};
