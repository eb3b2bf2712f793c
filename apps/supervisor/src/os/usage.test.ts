import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, expect, test, vi } from "vitest";
import { identify, type ProcessIdentity } from "./process-table.ts";
import { readSize } from "./usage.ts";

const MIB = 1024 ** 2;
/** Four processes that share 32 MiB; each tells its pid. */
const SHARING = '$| = 1; $x = "x" x (32 * 1048576); fork for 1 .. 2; print "$$\\n"; sleep 60';

let leader: ChildProcess | undefined;

afterEach(() => {
  vi.restoreAllMocks();
  if (leader?.pid) process.kill(-leader.pid, "SIGKILL");
});

const fourProcesses = (): Promise<ProcessIdentity[]> =>
  new Promise((resolve) => {
    leader = spawn("perl", ["-e", SHARING], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    leader.stdout?.on("data", (chunk: Buffer) => {
      text += String(chunk);
      const pids = text.split("\n").slice(0, -1);
      if (pids.length === 4) resolve(pids.flatMap((pid) => identify(Number(pid)) ?? []));
    });
  });

test("what processes share is counted once, also by a supervisor that others keep waiting for a processor", async () => {
  const processes = await fourProcesses();
  let now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => {
    now += 1000;
    return now;
  });
  const inFull = readSize(processes, Number.POSITIVE_INFINITY);
  expect(inFull).toBeGreaterThan(4 * 32 * MIB);
  const once = readSize(processes, 0);
  expect(once).toBeGreaterThan(32 * MIB);
  expect(once).toBeLessThan(inFull / 3);
});
