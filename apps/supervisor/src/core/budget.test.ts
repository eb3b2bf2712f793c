import fc from "fast-check";
import { expect, test } from "vitest";
import { logShare, nextRoom, recentOf, withinShare, writeShare } from "./budget.ts";

const MINUTE = 60_000;

test("as many restarts fit into a minute as its owner has; the next comes when the first of them is a minute old", () => {
  expect(nextRoom([], 3, 100_000)).toBe(100_000);
  expect(nextRoom([90_000, 95_000], 3, 100_000)).toBe(100_000);
  expect(nextRoom([90_000, 95_000, 99_000], 3, 100_000)).toBe(90_000 + MINUTE);
  expect(nextRoom([10_000, 90_000, 95_000, 99_000], 3, 100_000)).toBe(90_000 + MINUTE);
  expect(nextRoom([10_000, 20_000, 30_000], 3, 100_000)).toBe(100_000);
  expect(recentOf([10_000, 41_000], 100_000)).toEqual([41_000]);
});

test("no minute ever has more restarts than that", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(30_000), { maxLength: 40 }), (most, waits) => {
      let times: readonly number[] = [];
      const all: number[] = [];
      let now = 1000;
      for (const wait of waits) {
        now = nextRoom(times, most, now + wait);
        times = [...recentOf(times, now), now];
        all.push(now);
      }
      for (const [index, time] of all.entries()) {
        expect(all.slice(index).filter((other) => other < time + MINUTE).length).toBeLessThanOrEqual(most);
      }
    }),
  );
});

test("logs share their owner's bytes evenly, and keep within their share, current file and rotated ones", () => {
  const M = 1024 ** 2;
  expect(logShare({}, 3)).toBeUndefined();
  expect(logShare({ log: { amount: 100 * M, line: 1 } }, 4)).toBe(25 * M);
  expect(logShare({ log: { amount: 4096, line: 1 } }, 4)).toBe(8192);
  const bounds = { size: M, files: 10 };
  expect(withinShare(bounds, undefined)).toEqual(bounds);
  expect(withinShare(bounds, 20 * M)).toEqual(bounds);
  expect(withinShare(bounds, 5 * M)).toEqual({ size: M, files: 4 });
  expect(withinShare(bounds, 11 * M)).toEqual(bounds);
  expect(withinShare(bounds, 11 * M - 1)).toEqual({ size: M, files: 9 });
  expect(withinShare(bounds, M)).toEqual({ size: M / 2, files: 1 });
  expect(withinShare(bounds, 8192)).toEqual({ size: 4096, files: 1 });
  for (const share of [8192, 10_000, M, 5 * M + 1]) {
    const { size, files } = withinShare(bounds, share);
    expect(size * (files + 1)).toBeLessThanOrEqual(share);
  }
});

test("an amount is written as a line of [limits] says it", () => {
  expect([writeShare("memory", 1024 ** 3), writeShare("log", 1024), writeShare("cpu", 0.5)]).toEqual([
    "1 GiB",
    "1 KiB",
    "0.5",
  ]);
});
