/** Removes all that a benchmark has left, however it ended: processes, mounts, accounts, cgroups, directories. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { makerOf } from "../system/account.ts";
import { removeLeftovers } from "../system/leftovers.ts";
import { allProcesses, environmentOf, isRunning, kill } from "../system/proc.ts";
import { run, until } from "../system/program.ts";
import { STAGES } from "../system/stage.ts";

/** Variable that marks the processes of a benchmark: the pid of the process that sweeps. */
export const MARK = "DMHOST_BENCH";

const isMarked = (pid: number, mark: string): boolean => {
  try {
    return isRunning(pid) && environmentOf(pid)[MARK] === mark;
  } catch {
    return false;
  }
};

/** Mounts of the benchmark process `pid`, the deepest first. */
const mountsOf = (pid: number): string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${STAGES}/`) && makerOf(path) === pid)
    .sort()
    .reverse();

const sweep = async (pid: number): Promise<void> => {
  await until("the end of the benchmark's processes", () => {
    const left = allProcesses().filter((each) => isMarked(each, String(process.pid)));
    for (const each of left) kill(each);
    return left.length === 0;
  });
  for (const path of mountsOf(pid)) await run(["umount", "--lazy", path]);
  await removeLeftovers(STAGES);
};

/**
 * Runs this program again with the same arguments as a child that measures, and sweeps after its end. Passes SIGINT, SIGTERM and
 * SIGHUP on to the child. Returns its exit code, or 128 and the number of the signal that ended it.
 */
export const runSwept = async (): Promise<number> => {
  const env = { ...process.env, [MARK]: String(process.pid) };
  const child = spawn(process.execPath, process.argv.slice(1), { env, stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  await sweep(child.pid ?? 0);
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
};
