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

/** Writes, and lets the news of it arrive: the kernel has it at once, the watcher at the next turn of the event loop. */
const write = async (): Promise<void> => {
  writeFileSync(join(directory, "noise"), "");
  for (let turns = 0; turns < 3; turns += 1) await turn();
};

/** Writes at every millisecond of this many; the news of it always comes before any timer runs. */
const writeFor = async (ms: number): Promise<void> => {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    await write();
    vi.advanceTimersByTime(1);
  }
};

test("a file is looked at when nothing has been written for a while", async () => {
  let looks = 0;
  new ConfWatch().follow(identity, [directory], () => {
    looks += 1;
  });
  await write();
  expect(looks).toBe(0);
  vi.advanceTimersByTime(1000);
  await write();
  expect(looks).toBe(1);
});

test("one who never stops writing puts a look off, but not for ever", async () => {
  let looks = 0;
  const watch = new ConfWatch();
  watch.follow(identity, [directory], () => {
    looks += 1;
  });
  await writeFor(4500);
  expect(looks).toBe(0);
  await writeFor(1500);
  expect(looks).toBe(1);
  await writeFor(6000);
  expect(looks).toBe(2);
});

test("a look that takes long is not repeated soon, and is repeated", async () => {
  const looks: number[] = [];
  const watch = new ConfWatch();
  watch.follow(identity, [directory], () => {
    looks.push(performance.now());
    vi.advanceTimersByTime(500);
  });
  await writeFor(18_000);
  expect(looks).toHaveLength(2);
  expect((looks[1] ?? 0) - (looks[0] ?? 0)).toBeGreaterThanOrEqual(10_000);
});
