import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { identify } from "../kernel/process-table.ts";
import { startedShim } from "../shim/started-shim.fake.ts";
import { endLastShim, rememberShim } from "./last-shim.ts";

let directory = "";
let pid = 0;
let reports: string[] = [];

/** As a supervisor with this state directory does that finds nothing at a path. */
const end = (path: string): Promise<void> => endLastShim(directory, path, (reason) => reports.push(reason));
const lives = (): boolean => identify(pid) !== undefined;
const socket = (): string => join(directory, "shim.sock");

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "last-shim-"));
  reports = [];
  const link = await startedShim(directory);
  pid = link.requests.pid;
  link.close();
});
afterEach(() => {
  if (lives()) process.kill(pid, "SIGKILL");
  rmSync(directory, { recursive: true });
});

test("the shim of the supervisor before is ended where its socket was removed", async () => {
  rememberShim(directory, pid);
  rmSync(socket());
  await end(socket());
  expect([lives(), reports]).toEqual([false, [`its socket was removed: ${socket()}`]]);
  await end(socket());
  expect(reports).toHaveLength(1);
});

test("the shim of the supervisor before is ended where the run directory was another", async () => {
  rememberShim(directory, pid);
  await end("/elsewhere/shim.sock");
  expect([lives(), reports]).toEqual([false, [`the run directory was ${directory}`]]);
});

test("a process that is no shim is left alone", async () => {
  rememberShim(directory, process.pid);
  await end("/elsewhere/shim.sock");
  expect(reports).toEqual([]);
});

test.each([
  ["is missing", undefined],
  ["is damaged", "{"],
  ["is of another boot", JSON.stringify({ epoch: "another", pid: 1, startTime: 1 })],
])("a shim is left alone where its file %s", async (_, text) => {
  if (text !== undefined) writeFileSync(join(directory, "shim.json"), text);
  await end(socket());
  expect([lives(), reports]).toEqual([true, []]);
});
