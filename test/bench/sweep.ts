/** Removes all that a benchmark has left, however it ended: processes, mounts, accounts, cgroups, directories. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { removeLeftovers } from "../system/leftovers.ts";
import { allProcesses, environmentOf, isRunning, kill } from "../system/proc.ts";
import { until } from "../system/program.ts";
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

const sweep = async (): Promise<void> => {
  await until("the end of the benchmark's processes", () => {
    const left = allProcesses().filter((each) => isMarked(each, String(process.pid)));
    for (const each of left) kill(each);
    return left.length === 0;
  });
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
  await sweep();
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
};
