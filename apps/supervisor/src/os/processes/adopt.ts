/** Runs of an earlier supervisor. */
import { closeSync } from "node:fs";
import type { ProcessIdentity } from "../../engine/ports/processes.ts";
import type { RunEvents } from "../../engine/ports/runs.ts";
import { openPidfd } from "../kernel/pidfd.ts";
import type { Poller } from "../kernel/poller.ts";
import { isAlive } from "../kernel/process-table.ts";
import { reap } from "../kernel/spawn.ts";
import { readPeak } from "../limits/usage.ts";
import { endOf } from "./launch-chain.ts";
import { type BudgetedProbe, ProcessTree, type Run } from "./process-tree.ts";

/** Adopts the run of an earlier supervisor; undefined when its main process has ended. */
export const adopt = (
  leader: ProcessIdentity,
  cgroup: string | undefined,
  poller: Poller,
  events: RunEvents,
  probe?: BudgetedProbe,
): Run | undefined => {
  let pidfd: number;
  try {
    pidfd = openPidfd(leader.pid);
  } catch {
    return undefined;
  }
  if (!isAlive(leader)) {
    closeSync(pidfd);
    return undefined;
  }
  const tree = new ProcessTree(leader, cgroup, probe);
  poller.once(pidfd, () => {
    closeSync(pidfd);
    // It is our child where this process was re-executed.
    const ended = reap(leader.pid);
    const facts = { report: "", oomKilled: tree.oomKilled(), peak: readPeak(cgroup) };
    events.exited(ended && { ...endOf(ended), ...facts });
    tree.awaitEmpty(() => events.gone(undefined));
  });
  return tree;
};

/** Kills what is left of an earlier supervisor's run; calls `gone` when no process is left. */
export const clear = (leader: ProcessIdentity, cgroup: string | undefined, gone: () => void): void =>
  new ProcessTree(leader, cgroup).clear(gone);
