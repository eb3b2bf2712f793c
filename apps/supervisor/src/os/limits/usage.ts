/** What processes use of the machine: by their cgroup as far as that counts it, else by /proc. */
import { readdirSync, readFileSync } from "node:fs";
import type { ProcessIdentity, RunUsage } from "../../engine/ports/runs.ts";
import { CpuBudget } from "../kernel/cpu-budget.ts";

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

/** The number behind a word at the beginning of a line. */
const numberAfter = (text: string | undefined, word: string): number | undefined => {
  const found = text === undefined ? null : new RegExp(`^${word}[:= ]\\s*(\\d+(?:\\.\\d+)?)`, "m").exec(text);
  return found ? Number(found[1]) : undefined;
};

const MICRO = 1_000_000;
/** Ticks a second in /proc (proc(5): USER_HZ), the same on every machine that Node runs on. */
const TICKS = 100;

const seconds = (micro: number | undefined): number | undefined => (micro === undefined ? undefined : micro / MICRO);

/** What a run uses; `cgroup` is its own, within its daemon's, and `processes` are its living ones. */
export const readUsage = (cgroup: string | undefined, processes: readonly ProcessIdentity[]): RunUsage => {
  const group = cgroup ?? "/nonexistent";
  const cpu = textOf(`${group}/cpu.stat`);
  const pressure = textOf(`${group}/memory.pressure`);
  return {
    memory: numberIn(group, "memory.current") ?? shownSize(processes),
    memoryPeak: numberIn(group, "memory.peak"),
    processes: numberIn(group, "pids.current") ?? sum(processes.map(({ pid }) => threadsOf(pid))),
    cpu: seconds(numberAfter(cpu, "usage_usec")) ?? sum(processes.map(({ pid }) => cpuOf(pid))),
    // cpu.max is the daemon's, and only the group that has it counts.
    throttled: seconds(numberAfter(textOf(`${group}/../cpu.stat`), "throttled_usec")),
    memoryPressure: numberAfter(pressure, "some avg10"),
    oomKills: numberAfter(textOf(`${group}/memory.events`), "oom_kill"),
  };
};

/** Most bytes of memory that a group has had; undefined where nobody counted. */
export const readPeak = (cgroup: string | undefined): number | undefined =>
  cgroup === undefined ? undefined : numberIn(cgroup, "memory.peak");

const sum = (numbers: readonly (number | undefined)[]): number =>
  numbers.reduce<number>((total, each) => total + (each ?? 0), 0);

const KIB = 1024;
const kibibytes = (text: string | undefined, ...lines: string[]): number =>
  sum(lines.map((line) => numberAfter(text, line))) * KIB;

/** A process as /proc/PID/status tells of it. */
interface Sample {
  readonly pid: number;
  readonly parent: number;
  /** Memory that is no file's, counted in full also where other processes share it. In bytes. */
  readonly size: number;
  /** Equal for those that have one address space in common. */
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

/** Threads of a process that are looked at, at most. */
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

/** Of a process whose first thread has ended the others tell what memory it has. */
const statusOf = (pid: number): string | undefined => {
  const text = textOf(`/proc/${pid}/status`);
  if (!text || text.includes("VmSize:") || (numberAfter(text, "Threads") ?? 0) <= 1) return text;
  for (const path of threadPaths(pid)) {
    const told = textOf(`${path}/status`);
    if (told?.includes("VmSize:")) return told;
  }
  return text;
};

/** Threads of a process that wait as vfork(2) does: for one child each, which goes on in the memory of its parent. */
const suspendedThreads = ({ pid, threads }: Sample): number => {
  const waits = (path: string): boolean => /\) D /.test(textOf(`${path}/stat`)?.slice(-400) ?? "");
  if (threads <= 1) return waits(`/proc/${pid}`) ? 1 : 0;
  return threadPaths(pid).filter(waits).length;
};

/**
 * Those that have memory of their own. A child between vfork(2) and exec(2), as posix_spawn(3) makes one, is none of them: the
 * kernel counts the parent's memory to both. It is known by its parent's thread, which waits for it, and by their one
 * layout; of several that look like it the smallest is taken, so that nobody is hidden behind it.
 */
const apart = (samples: readonly Sample[]): readonly Sample[] => {
  const parents = new Map(samples.map((sample) => [sample.pid, sample]));
  const likenesses = new Map<Sample, Sample[]>();
  for (const sample of samples) {
    const parent = parents.get(sample.parent);
    if (!parent || parent.layout !== sample.layout || sample.layout === "") continue;
    likenesses.set(parent, [...(likenesses.get(parent) ?? []), sample]);
  }
  const borrowers = new Set<Sample>();
  for (const [parent, alike] of likenesses) {
    const smallest = alike.sort((a, b) => a.size - b.size);
    for (const each of smallest.slice(0, suspendedThreads(parent))) borrowers.add(each);
  }
  return samples.filter((sample) => !borrowers.has(sample));
};

/** The same, what is shared divided among those who share it; undefined where the kernel does not tell. */
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
 * Processor time that exact measuring may take, in ms: the kernel goes through every page, and how many there are is the
 * tenant's choice. How long others keep the supervisor waiting is not.
 */
const LONGEST_MEASURING = 50;

/** Processor time that this thread has taken, in ms. */
const spent = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
};

/** Memory of processes together; exactly, as far as time allows, if it seems more than `doubtful`. In bytes. */
export const readSize = (processes: readonly ProcessIdentity[], doubtful: number): number => {
  const rough = processes.map(({ pid }) => sampleOf(pid)).sort((a, b) => b.size - a.size);
  const begun = spent();
  if (sum(rough.map(({ size }) => size)) <= doubtful) return sum(rough.map(({ size }) => size));
  return sum(
    apart(rough).map(({ pid, size }) =>
      spent() - begun < LONGEST_MEASURING ? Math.min(exactMemory(pid) ?? size, size) : size,
    ),
  );
};

/** How much of the time may go into exact sizes for those who look at them. */
const shown = new CpuBudget(0.05, 200);

/** The same for somebody to read: exactly, unless so much is asked for that it takes too long. */
const shownSize = (processes: readonly ProcessIdentity[]): number =>
  shown.charge(() => readSize(processes, processes.length > 1 && shown.balance > 0 ? 0 : Number.POSITIVE_INFINITY));
