/** Resource use and limits of daemons in words. */
import type { DaemonStatus, LimitStatus, Usage } from "@dmhost/contract";
import { roughDuration, roughSize, SECOND } from "@dmhost/supervisor/units";
import { oneLine } from "../printable.ts";

const cpuTime = (seconds: number): string =>
  seconds < 60 ? `${Math.round(seconds * 10) / 10}s` : roughDuration(seconds * SECOND);

/** `memory 63.9 MiB, peak 64 MiB, 3 processes, cpu 1.5s`; values that the machine does not measure are left out. */
export const usageWords = (usage: Usage): string => {
  const known = <T>(value: T | null, words: (value: T) => string): string[] => (value === null ? [] : [words(value)]);
  return [
    ...known(usage.memory, (bytes) => `memory ${roughSize(bytes)}`),
    ...known(usage.memoryPeak, (bytes) => `peak ${roughSize(bytes)}`),
    ...known(usage.processes, (count) => `${count} ${count === 1 ? "process" : "processes"}`),
    ...known(usage.cpu, (seconds) => `cpu ${cpuTime(seconds)}`),
    ...known(usage.cpuThrottled, (seconds) => `throttled ${cpuTime(seconds)}`),
    ...known(usage.memoryPressure, (part) => `memory pressure ${part} %`),
    ...known(usage.oomKills || null, (count) => `${count} out of memory`),
  ].join(", ");
};

/** `memory=64 MiB, enforced by cgroup`, with its note. */
export const limitWords = ({ key, value, enforcedBy, budget, note }: LimitStatus): string =>
  `${key}=${value}${budget ? " for all of its owner's" : ""}, enforced by ${enforcedBy}${note === "" ? "" : `: ${note}`}`;

/** Lines of `dmctl status --long` about a daemon's use and limits. */
export const usageLines = ({ usage, limits }: DaemonStatus): string[] => [
  ...(usage ? [`usage: ${usageWords(usage)}`] : []),
  ...(limits.enforcedBy === ""
    ? []
    : [`limits: ${limits.enforcedBy}`, ...limits.keys.map((limit) => `  ${limitWords(limit)}`)]),
];

/** A daemon's processor time at one moment. */
export interface Sample {
  /** Seconds of processor time. */
  readonly cpu: number;
  /** ms. */
  readonly at: number;
  readonly pid: number;
}

const COLUMNS = ["memory", "limit", "peak", "procs", "cpu", "cpu%", "throttled"] as const;
const WIDTH = 9;

const limitOf = ({ limits }: DaemonStatus): string =>
  limits.keys.find(({ key, budget }) => key === "memory" && !budget)?.value ?? "-";

const busy = ({ usage, pid }: DaemonStatus, before: Sample | undefined, now: number): number | undefined =>
  usage?.cpu === null || usage?.cpu === undefined || !before || before.pid !== pid || now <= before.at
    ? undefined
    : Math.max(0, ((usage.cpu - before.cpu) * 1000) / (now - before.at)) * 100;

/**
 * The table of `dmctl top`: running daemons, the busiest first, then the largest.
 * @param before samples of the previous table, by id
 * @param now ms
 */
export const topTable = (
  daemons: readonly DaemonStatus[],
  before: ReadonlyMap<string, Sample> = new Map(),
  now = 0,
): string => {
  const rows = daemons
    .filter(({ usage }) => usage !== null)
    .map((daemon) => ({ daemon, share: busy(daemon, before.get(daemon.id), now) }))
    .sort(
      (a, b) =>
        Math.round(b.share ?? 0) - Math.round(a.share ?? 0) ||
        (b.daemon.usage?.memory ?? 0) - (a.daemon.usage?.memory ?? 0),
    );
  const shown = <T>(value: T | null | undefined, words: (value: T) => string): string =>
    value === null || value === undefined ? "-" : words(value);
  const width = Math.max(24, ...rows.map(({ daemon }) => oneLine(daemon.id).length));
  const line = (id: string, cells: readonly string[]): string =>
    // One word a cell, so that awk and sort find the columns.
    [id.padEnd(width), ...cells.map((cell) => cell.replace(" ", "").padStart(WIDTH))].join(" ");
  return `${[
    line("daemon-id", COLUMNS),
    ...rows.map(({ daemon, share }) =>
      line(oneLine(daemon.id), [
        shown(daemon.usage?.memory, roughSize),
        oneLine(limitOf(daemon)),
        shown(daemon.usage?.memoryPeak, roughSize),
        shown(daemon.usage?.processes, String),
        shown(daemon.usage?.cpu, cpuTime),
        shown(share, (part) => `${Math.round(part)}`),
        shown(daemon.usage?.cpuThrottled, cpuTime),
      ]),
    ),
  ].join("\n")}\n`;
};
