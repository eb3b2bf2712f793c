/** Children of the supervisor, from spawn until they are reaped. */
import { closeOnExec } from "../kernel/descriptors.ts";
import { type ExitStatus, endedChild, reap, type Spawned, spawnSession } from "../kernel/spawn.ts";

const children = new Map<number, (ended: ExitStatus) => void>();
let isWatching = false;

/** Reaps a child of `spawnChild` and calls its `ended`, if it has ended; returns whether it has. */
export const collect = (pid: number): boolean => {
  const report = children.get(pid);
  if (!report) return false;
  const ended = reap(pid);
  if (!ended) return false;
  children.delete(pid);
  report(ended);
  return true;
};

const collectAll = (): void => {
  for (let pid = endedChild(); pid !== undefined; pid = endedChild()) {
    if (children.has(pid) && collect(pid)) continue;
    // Another part of this program reaps that child; until then waitid(2) may name it before ours.
    for (const each of [...children.keys()]) collect(each);
    return;
  }
};

/**
 * Starts a program that inherits only the given descriptors; calls `ended` later, once. Returns its pid.
 * @throws errno errors
 */
export const spawnChild = (program: Spawned, ended: (how: ExitStatus) => void): number => {
  closeOnExec();
  if (!isWatching) process.on("SIGCHLD", collectAll);
  isWatching = true;
  const pid = spawnSession(program);
  children.set(pid, ended);
  return pid;
};
