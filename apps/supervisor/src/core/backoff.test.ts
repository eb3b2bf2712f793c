import fc from "fast-check";
import { expect, it } from "vitest";
import { retryDelay, spacing } from "./backoff.ts";

it("the back-off doubles from 0.2 s to 60 s, the first retry at once", () => {
  expect([1, 2, 3, 4, 5, 10, 11, 1000].map((failures) => retryDelay(failures, 0.5))).toEqual([
    0, 200, 400, 800, 1600, 51_200, 60_000, 60_000,
  ]);
});

it("the back-off spreads by a tenth and never waits longer than 60 s", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (failures, random) => {
        const plain = Math.min(200 * 2 ** (failures - 2), 60_000);
        const delay = retryDelay(failures, random);
        expect(delay).toBeGreaterThanOrEqual(plain * 0.9);
        expect(delay).toBeLessThanOrEqual(Math.min(plain * 1.1, 60_000));
      },
    ),
  );
});

it("the back-off keeps 10 ms between clean ends and 100 ms between crashes", () => {
  expect([spacing(true), spacing(false)]).toEqual([10, 100]);
});
