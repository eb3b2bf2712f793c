/** A daemon as the contract shows it. */
import type { DaemonState, DaemonStatus, InstanceStatus, Usage } from "@dmhost/contract";
import { shortcomings, summary } from "../core/enforcement.ts";
import { alive, describeExit, isFinal, type State } from "../core/lifecycle.ts";
import type { Daemon } from "../engine/daemon.ts";
import type { Instance } from "../engine/instance.ts";

const seconds = (ms: number): number => Math.max(0, Math.round(ms / 100) / 10);

const reason = ({ state, waiting }: Instance): string => {
  if (state.block && !alive(state)) return state.block.reason;
  const last = state.last ? describeExit(state.last.exit) : "";
  if (state.phase === "failed" && state.last?.permanent)
    return `${last}; its finish says that another run is of no use`;
  if (state.phase === "failed" && state.last && isFinal(state.last.exit)) return last;
  if (state.phase === "failed") return `${last}; given up after ${state.failures} failed runs`;
  if (state.phase === "coolingdown") return state.throttled ? `${last}; ${RATIONED}` : last;
  return waiting;
};

const RATIONED = "its owner's restarts of this minute are used up ([limits])";

const stateOf = ({ phase, paused }: State): DaemonState => (paused ? "paused" : phase);

const presentInstance = (instance: Instance, now: number): InstanceStatus => {
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

/** What all of its processes use; of pressures the highest, and of what is told of the daemon as a whole the last word. */
const usageOf = (daemon: Daemon): Usage | null => {
  const used = daemon.instances().flatMap((instance) => instance.usage() ?? []);
  if (used.length === 0) return null;
  const sum = (a: number, b: number): number => a + b;
  const all = (field: keyof Usage, joined: (a: number, b: number) => number): number | null => {
    const known = used.flatMap((each) => each[field] ?? []);
    return known.length === 0 ? null : known.reduce(joined);
  };
  return {
    memory: all("memory", sum),
    memoryPeak: all("memoryPeak", sum),
    memoryPressure: all("memoryPressure", Math.max),
    processes: all("processes", sum),
    cpu: all("cpu", sum),
    throttled: all("throttled", Math.max),
    oomKills: all("oomKills", sum),
  };
};

/** What ends for want of memory ends as a whole, and is over before anybody looks. */
const withStarved = (usage: Usage | null, { oomKilled }: Daemon): Usage | null =>
  usage && { ...usage, oomKills: (usage.oomKills ?? 0) + oomKilled };

/**
 * The status of a daemon.
 * @param now the supervisor's clock, in ms
 * @param measured whether what it uses of the machine is to be looked at
 */
export const present = (daemon: Daemon, now: number, measured = false): DaemonStatus => {
  const { state, key, terms, file } = daemon;
  const { want, wantedAt } = state;
  const { cooldown, uptime, ...representative } = presentInstance(daemon.representative, now);
  const instances = daemon.instances().map((instance) => presentInstance(instance, now));
  const definition = terms?.definition;
  const { limits, means } = daemon;
  return {
    id: daemon.id,
    owner: key.owner.name,
    name: key.name,
    state: representative.state,
    want,
    pid: representative.pid,
    respawns: instances.reduce((sum, { respawns }) => sum + respawns, 0),
    cooldown,
    uptime,
    downtime: alive(state) ? 0 : seconds(now - daemon.representative.downSince),
    autostart: file.definition?.autostart ?? definition?.autostart ?? true,
    total: want === "up" && wantedAt !== undefined ? seconds(now - wantedAt) : 0,
    reason: representative.reason,
    user: terms?.account.name ?? key.owner.name,
    configFile: file.path,
    logFile: definition?.output === "log" ? `${terms?.logDirectory}/current` : "",
    logDropped: daemon.logLoss.lines,
    logTrouble: daemon.logLoss.reason,
    socket: daemon.socketPath,
    changed: daemon.changed,
    warnings: [
      // What bars it is its reason, and need not be said twice.
      ...[...file.errors, ...file.warnings].filter((warning) => warning !== state.block?.reason),
      ...daemon.hosts.filter((host) => host.state === "refused").map((host) => host.reason),
      ...new Set(daemon.hosts.flatMap(({ logs }) => logs?.trouble || [])),
      ...shortcomings(limits, means),
    ],
    hosts: daemon.hosts.map(({ logs, ...host }) => ({
      ...host,
      accessLog: logs?.access ?? "",
      errorLog: logs?.error ?? "",
      logTrouble: logs?.trouble ?? "",
    })),
    instances,
    limits: { by: summary(limits, means), keys: [...limits] },
    usage: measured ? withStarved(usageOf(daemon), daemon) : null,
  };
};
