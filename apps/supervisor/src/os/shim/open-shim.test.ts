import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ShimLink } from "./link.ts";
import { connectShim, type Patience, shimPath } from "./open-shim.ts";
import { startedShim } from "./started-shim.fake.ts";

const SHIM = join(import.meta.dirname, "../../../../../shim/dmhost-shim");
const NOBODY = 65_534;

let directory: string;
let pid: number;
let reports: string[];
let link: ShimLink | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "open-shim-"));
  reports = [];
  link = undefined;
});
afterEach(() => {
  link?.close();
  process.kill(pid, "SIGKILL");
  rmSync(directory, { recursive: true });
});

/** Starts a shim that is stopped. */
const stopped = async (): Promise<void> => {
  const first = await startedShim(directory);
  pid = first.requests.pid;
  first.close();
  process.kill(pid, "SIGSTOP");
};
const connect = (when: (reports: number) => void = () => undefined, isOver = () => false) => {
  const patience: Patience = {
    timeout: 50,
    isOver,
    report: (reason) => when(reports.push(reason)),
  };
  return connectShim(directory, patience);
};

test("a shim that does not answer is reported by its process, and waited for until it does", async () => {
  await stopped();
  // More often than connections can wait at its socket.
  link = await connect((count) => count === 30 && process.kill(pid, "SIGCONT"));
  expect(link?.requests.pid).toBe(pid);
  expect(reports[0]).toBe(
    `the shim (pid ${pid}) at ${shimPath(directory)} has not answered for 0.05 s: waiting as long as it lives; ` +
      `where somebody has stopped it:  kill -CONT ${pid}`,
  );
});

test("a shim that ends without an answer is waited for no longer", async () => {
  await stopped();
  expect(await connect(() => process.kill(pid, "SIGCONT") && process.kill(pid, "SIGKILL"))).toBeUndefined();
  pid = spawn("sleep", ["60"]).pid ?? 0;
});

test("a supervisor that is to end waits no longer for a shim, and says that its daemons go on", async () => {
  await stopped();
  await expect(connect(undefined, () => reports.length === 2)).rejects.toThrow(
    `the shim (pid ${pid}) at ${shimPath(directory)} has not answered for 0.15 s: it and its daemons go on`,
  );
});

test.skipIf(process.getuid?.() !== 0)("a shim of another account is named with its uid, and never used", async () => {
  chownSync(directory, NOBODY, NOBODY);
  const child = spawn(
    "setpriv",
    [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", SHIM, "-d", "3", shimPath(directory)],
    { stdio: ["ignore", "inherit", "inherit", "pipe"] },
  );
  pid = child.pid ?? 0;
  await once(child.stdio[3] as NodeJS.ReadableStream, "data");
  await expect(connect()).rejects.toThrow(
    `${shimPath(directory)}: the shim there (pid ${pid}) belongs to uid ${NOBODY}, not to uid 0, and is not used; ` +
      "choose another directory with --run-dir, or stop the supervisor of that account",
  );
});
