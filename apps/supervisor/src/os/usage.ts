/** What processes use of the machine: by their cgroup as far as that counts it, else by /proc. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunUsage } from "../machine.ts";
import type { ProcessIdentity } from "./process-table.ts";

const textOf = (path: string): string | undefined => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
};

const numberIn = (directory: string, file: string): number | undefined => {
  const text = textOf(join(directory, file));
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

/** What a run uses; `processes` are its living ones. */
export const readUsage = (cgroup: string | undefined, processes: readonly ProcessIdentity[]): RunUsage => {
  const group = cgroup ?? "/nonexistent";
  const cpu = textOf(join(group, "cpu.stat"));
  const pressure = textOf(join(group, "memory.pressure"));
  return {
    memory: numberIn(group, "memory.current") ?? sum(processes.map(({ pid }) => roughMemory(pid))),
    memoryPeak: numberIn(group, "memory.peak"),
    processes: numberIn(group, "pids.current") ?? sum(processes.map(({ pid }) => threadsOf(pid))),
    cpu: seconds(numberAfter(cpu, "usage_usec")) ?? sum(processes.map(({ pid }) => cpuOf(pid))),
    throttled: seconds(numberAfter(cpu, "throttled_usec")),
    memoryPressure: numberAfter(pressure, "some avg10"),
    oomKills: numberAfter(textOf(join(group, "memory.events")), "oom_kill"),
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

/** Memory that is no file's, counted in full also where other processes share it. In bytes. */
const roughMemory = (pid: number): number => kibibytes(textOf(`/proc/${pid}/status`), "RssAnon", "RssShmem", "VmSwap");

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
  const rough = processes.map(({ pid }) => ({ pid, size: roughMemory(pid) })).sort((a, b) => b.size - a.size);
  const begun = spent();
  if (sum(rough.map(({ size }) => size)) <= doubtful) return sum(rough.map(({ size }) => size));
  return sum(
    rough.map(({ pid, size }) =>
      spent() - begun < LONGEST_MEASURING ? Math.min(exactMemory(pid) ?? size, size) : size,
    ),
  );
};
