/** Programs that this one has begun, until they have ended. */
import { closeOnExec } from "../kernel/descriptors.ts";
import { endedChild, reap, type Spawned, spawnSession } from "../kernel/spawn.ts";

/** How a program ended. */
export type Ended = NonNullable<ReturnType<typeof reap>>;

const children = new Map<number, (ended: Ended) => void>();
let isWatching = false;

/** Tells of the end of one that `begin` gave, if it has ended; whether it has. */
export const collect = (pid: number): boolean => {
  const ended = reap(pid);
  const tell = children.get(pid);
  if (!ended || !tell) return false;
  children.delete(pid);
  tell(ended);
  return true;
};

const look = (): void => {
  for (let pid = endedChild(); pid !== undefined; pid = endedChild()) {
    if (children.has(pid) && collect(pid)) continue;
    // It is somebody else's, and may be in front of ours for a while.
    for (const each of [...children.keys()]) collect(each);
    return;
  }
};

/**
 * Begins a program that gets no other descriptors than those, and calls `ended` later, once.
 * @throws errno errors
 */
export const begin = (program: Spawned, ended: (how: Ended) => void): number => {
  closeOnExec();
  if (!isWatching) process.on("SIGCHLD", look);
  isWatching = true;
  const pid = spawnSession(program);
  children.set(pid, ended);
  return pid;
};
