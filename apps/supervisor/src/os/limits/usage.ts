/** Resource usage of processes: by their cgroup as far as that counts it, else by /proc. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { RunUsage } from "../../core/run-usage.ts";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import { CpuBudget, threadClock } from "../kernel/cpu-budget.ts";

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

const numberIn = (directory: string, file: string): number | undefined => {
  const text = textOf(`${directory}/${file}`);
  const number = text === undefined ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
};

/** The number after a word at the start of a line. */
const numberAfter = (text: string | undefined, word: string): number | undefined => {
  const found = text === undefined ? null : new RegExp(`^${word}[:= ]\\s*(\\d+(?:\\.\\d+)?)`, "m").exec(text);
  return found ? Number(found[1]) : undefined;
};

const MICRO = 1_000_000;
/** Ticks a second in /proc (proc(5): USER_HZ), the same on every machine that Node runs on. */
const TICKS = 100;

const seconds = (micro: number | undefined): number | undefined => (micro === undefined ? undefined : micro / MICRO);

/** Usage of a run. @param cgroup the run's, within its daemon's @param processes of the run */
export const readUsage = (cgroup: string | undefined, processes: readonly ProcessIdentity[]): RunUsage => {
  const group = cgroup ?? "/nonexistent";
  const cpu = textOf(`${group}/cpu.stat`);
  const pressure = textOf(`${group}/memory.pressure`);
  return {
    memory: numberIn(group, "memory.current") ?? displaySize(processes),
    memoryPeak: numberIn(group, "memory.peak"),
    processes: numberIn(group, "pids.current") ?? sum(processes.map(({ pid }) => threadsOf(pid))),
    cpu: seconds(numberAfter(cpu, "usage_usec")) ?? sum(processes.map(({ pid }) => cpuOf(pid))),
    // The daemon's cgroup has cpu.max, so only it counts throttled time.
    cpuThrottled: seconds(numberAfter(textOf(`${group}/../cpu.stat`), "throttled_usec")),
    memoryPressure: numberAfter(pressure, "some avg10"),
    oomKills: numberAfter(textOf(`${group}/memory.events`), "oom_kill"),
  };
};

/**
 * Whether the kernel killed a process of a cgroup for lack of memory, and its peak memory in bytes; false and undefined where the
 * kernel does not count.
 */
export const readMemoryEnd = (
  cgroup: string | undefined,
): { readonly oomKilled: boolean; readonly peak: number | undefined } => {
  const names = MEMORY_FILES.find(({ events }) => existsSync(`${cgroup}/${events}`));
  if (cgroup === undefined || names === undefined) return { oomKilled: false, peak: undefined };
  const { events, peak } = names;
  return { oomKilled: /^oom_kill [1-9]/m.test(textOf(`${cgroup}/${events}`) ?? ""), peak: numberIn(cgroup, peak) };
};
/** Of cgroups of both versions: an engine's containers may be in those of version 1. */
const MEMORY_FILES = [
  { events: "memory.events", peak: "memory.peak" },
  { events: "memory.oom_control", peak: "memory.max_usage_in_bytes" },
] as const;

/** Where the kernel counts the memory of a process, in a cgroup of another program such as an engine; undefined where it cannot be seen. */
export const memoryGroupOf = (pid: number): string | undefined => {
  const lines = textOf(`/proc/${pid}/cgroup`)?.split("\n") ?? [];
  return lines
    .map((line) => /^\d+:([^:]*):(\/.+)$/.exec(line) ?? [])
    .filter(([, controllers = "none"]) => controllers === "" || controllers.split(",").includes("memory"))
    .flatMap(([, , path = ""]) => HIERARCHIES.map((mount) => `${mount}${path}`))
    .find((directory) => MEMORY_FILES.some(({ events }) => existsSync(`${directory}/${events}`)));
};
const HIERARCHIES = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"];

const sum = (numbers: readonly (number | undefined)[]): number =>
  numbers.reduce<number>((total, each) => total + (each ?? 0), 0);

const KIB = 1024;
const kibibytes = (text: string | undefined, ...lines: string[]): number =>
  sum(lines.map((line) => numberAfter(text, line))) * KIB;

/** A process by /proc/PID/status. */
interface Sample {
  readonly pid: number;
  readonly parent: number;
  /** Bytes of memory without files, with shared memory in full. */
  readonly size: number;
  /** Equal for processes that share an address space. */
  readonly layout: string;
  readonly threads: number;
}

const sampleOf = (pid: number): Sample => {
  const text = statusOf(pid);
  return {
    pid,
    parent: numberAfter(text, "PPid") ?? 0,
    size: kibibytes(text, "RssAnon", "RssShmem", "VmSwap"),
    layout: (text?.match(/^Vm(Peak|Size|Lck|Pin|Data|Stk|Exe|Lib):.*$/gm) ?? []).join("\n"),
    threads: numberAfter(text, "Threads") ?? 0,
  };
};

/** Maximum number of threads read per process. */
const MOST_THREADS = 200;

const threadPaths = (pid: number): readonly string[] => {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .slice(0, MOST_THREADS)
      .map((task) => `/proc/${pid}/task/${task}`);
  } catch {
    return [];
  }
};

/** The text of a process's status; where its first thread has ended, of another thread, which still has the memory lines. */
const statusOf = (pid: number): string | undefined => {
  const text = textOf(`/proc/${pid}/status`);
  if (!text || text.includes("VmSize:") || (numberAfter(text, "Threads") ?? 0) <= 1) return text;
  for (const path of threadPaths(pid)) {
    const other = textOf(`${path}/status`);
    if (other?.includes("VmSize:")) return other;
  }
  return text;
};

/** Number of threads that wait in vfork(2), each for one child that still uses the memory of its parent. */
const suspendedThreads = ({ pid, threads }: Sample): number => {
  const waits = (path: string): boolean => /\) D /.test(textOf(`${path}/stat`)?.slice(-400) ?? "");
  if (threads <= 1) return waits(`/proc/${pid}`) ? 1 : 0;
  return threadPaths(pid).filter(waits).length;
};

/**
 * Drops vfork children that still share their parent's memory, until exec(2), as posix_spawn(3) makes them: the kernel
 * counts that memory for both. Such a child has its parent's layout, and a thread of the parent waits for it.
 * Of several candidates the smallest counts as the child, so that no tenant can hide a large process.
 */
const withoutBorrowers = (samples: readonly Sample[]): readonly Sample[] => {
  const parents = new Map(samples.map((sample) => [sample.pid, sample]));
  const childrenWithSameLayout = new Map<Sample, Sample[]>();
  for (const sample of samples) {
    const parent = parents.get(sample.parent);
    if (!parent || parent.layout !== sample.layout || sample.layout === "") continue;
    childrenWithSameLayout.set(parent, [...(childrenWithSameLayout.get(parent) ?? []), sample]);
  }
  const borrowers = new Set<Sample>();
  for (const [parent, children] of childrenWithSameLayout) {
    const smallest = children.sort((a, b) => a.size - b.size);
    for (const each of smallest.slice(0, suspendedThreads(parent))) borrowers.add(each);
  }
  return samples.filter((sample) => !borrowers.has(sample));
};

/** Bytes of memory without files, with shared memory divided by its users; undefined where the kernel does not count it. */
const exactMemory = (pid: number): number | undefined => {
  const text = textOf(`/proc/${pid}/smaps_rollup`);
  return text?.includes("Pss_Anon:") ? kibibytes(text, "Pss_Anon", "Pss_Shmem", "SwapPss") : undefined;
};

const threadsOf = (pid: number): number => numberAfter(textOf(`/proc/${pid}/status`), "Threads") ?? 0;

const cpuOf = (pid: number): number => {
  const text = textOf(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ") ?? [];
  return sum([11, 12].map((index) => Number(fields[index] ?? 0))) / TICKS;
};

/**
 * CPU time limit for reading smaps_rollup, in ms; its cost grows with the tenant's pages. Not elapsed time, which the load
 * of other processes would use up.
 */
const LONGEST_MEASURING = 50;

/** Memory of processes together, in bytes: an estimate; exact only if the estimate exceeds `threshold`, as far as time allows. */
export const readSize = (processes: readonly ProcessIdentity[], threshold: number): number => {
  const rough = processes.map(({ pid }) => sampleOf(pid)).sort((a, b) => b.size - a.size);
  const before = threadClock.used();
  if (sum(rough.map(({ size }) => size)) <= threshold) return sum(rough.map(({ size }) => size));
  return sum(
    withoutBorrowers(rough).map(({ pid, size }) =>
      threadClock.used() - before < LONGEST_MEASURING ? Math.min(exactMemory(pid) ?? size, size) : size,
    ),
  );
};

/** CPU time for exact sizes on display. */
const display = new CpuBudget(0.05, 200);

/** For display: exact while the CPU budget lasts. */
const displaySize = (processes: readonly ProcessIdentity[]): number =>
  display.charge(() => readSize(processes, processes.length > 1 && display.balance > 0 ? 0 : Number.POSITIVE_INFINITY));
