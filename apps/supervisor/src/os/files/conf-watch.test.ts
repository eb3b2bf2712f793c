import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ConfWatch } from "./conf-watch.ts";

const identity = {
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "conf-watch-"));
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true });
});

/** Writes, and lets the event arrive: the watcher gets it at the next turn of the event loop. */
const write = async (): Promise<void> => {
  writeFileSync(join(directory, "noise"), "");
  for (let turns = 0; turns < 3; turns += 1) await turn();
};

/** Writes in each of so many milliseconds; the event always arrives before any timer. */
const writeFor = async (ms: number): Promise<void> => {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    await write();
    vi.advanceTimersByTime(1);
  }
};

test("a change is reported when there has been none for a while", async () => {
  let reports = 0;
  new ConfWatch().follow(identity, [directory], () => {
    reports += 1;
  });
  await write();
  expect(reports).toBe(0);
  vi.advanceTimersByTime(1000);
  await write();
  expect(reports).toBe(1);
});

test("continuous changes delay the report, but not for ever", async () => {
  let reports = 0;
  const watch = new ConfWatch();
  watch.follow(identity, [directory], () => {
    reports += 1;
  });
  await writeFor(4500);
  expect(reports).toBe(0);
  await writeFor(1500);
  expect(reports).toBe(1);
  await writeFor(6000);
  expect(reports).toBe(2);
});

test("a report that takes long is repeated, but not soon", async () => {
  const reports: number[] = [];
  const watch = new ConfWatch();
  watch.follow(identity, [directory], () => {
    reports.push(performance.now());
    vi.advanceTimersByTime(500);
  });
  await writeFor(18_000);
  expect(reports).toHaveLength(2);
  expect((reports[1] ?? 0) - (reports[0] ?? 0)).toBeGreaterThanOrEqual(10_000);
});
