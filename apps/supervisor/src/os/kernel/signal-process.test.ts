import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { expect, test } from "vitest";
import { findTree, identify } from "./process-table.ts";
import { signalProcess } from "./signal-process.ts";

/** Starts a session of a shell and two programs; resolves when all of them execute. */
const startSession = async () => {
  const child = spawn("sh", ["-c", "sleep 1000 & echo ready; sleep 1000; exit"], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout, "data");
  const leader = identify(child.pid ?? 0);
  if (!leader) throw new Error("the shell has ended");
  await expect.poll(() => findTree(leader).length).toBe(3);
  return { child, leader };
};

test("a signal to a process that has ended does not reach the one that has its pid now", async () => {
  const { child, leader } = await startSession();
  signalProcess({ ...leader, startTime: leader.startTime - 1 }, constants.signals.SIGKILL);
  signalProcess(leader, constants.signals.SIGTERM);
  // It gets TERM, so no KILL came before.
  expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
  for (const member of findTree(leader)) signalProcess(member, constants.signals.SIGKILL);
});
