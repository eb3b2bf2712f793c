import { expect, test } from "vitest";
import { compareSlices, meanOf, startsFor } from "./bench/ratio.ts";

/** Slices of two hosts in turn, as many as `seconds` have, of which host 0 answers twice as much. */
const slicesOf = (seconds: number, length: number) =>
  Array.from({ length: Math.floor((seconds * 1000) / length) }, (_, index) => ({
    host: index % 2,
    answers: index % 2 === 0 ? 200 : 100,
  }));

test.each([
  [12, 1000],
  [30, 1000],
  [60, 1000],
  [600, 1000],
  [2, 100],
  [30, 100],
])("a throughput run of %i s in slices of %i ms gives a ratio for each start", (seconds, length) => {
  const starts = startsFor(seconds, length);
  expect(starts.count % 2).toBe(0);
  expect(starts.count * starts.seconds).toBeLessThanOrEqual(seconds);
  const { ratios, rates } = compareSlices(slicesOf(starts.seconds, length), length);
  expect(meanOf(ratios).mean).toBeCloseTo(2);
  expect(rates).toEqual(ratios.map(() => 200_000 / length));
});

test("a throughput run that is too short for two starts names the seconds that it takes", () => {
  expect(() => startsFor(11, 1000)).toThrow("--seconds 11 is too short for slices of 1000 ms: expected at least 12");
});

test("the mean of ratios is geometric, and has an error where there are two or more", () => {
  expect(meanOf([0.5, 2])).toEqual({ mean: 1, error: expect.closeTo(Math.LN2), median: 2 });
  expect(meanOf([2])).toEqual({ mean: expect.closeTo(2), error: undefined, median: 2 });
});

test.each([[[]], [[Number.NaN]], [[0, 1]], [[Number.POSITIVE_INFINITY]]])(
  "ratios %j have no mean, and are refused instead of printed as NaN",
  (ratios) => {
    expect(() => meanOf(ratios)).toThrow("cannot average the ratios");
  },
);
