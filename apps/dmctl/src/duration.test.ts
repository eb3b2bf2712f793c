import { expect, test } from "vitest";
import { formatDuration } from "./duration.ts";

const WEEK = 604_800;
const DAY = 86_400;

test.each([
  [0, "0s"],
  [0.9, "0s"],
  [1, "1s"],
  [59, "59s"],
  [59.999, "59s"],
  [60, "1m0s"],
  [61, "1m1s"],
  [3599, "59m59s"],
  [3600, "1h0m"],
  [3661, "1h1m"],
  [12 * 3600 + 57 * 60 + 59, "12h57m"],
  [DAY - 1, "23h59m"],
  [DAY, "1d0h"],
  [4 * DAY + 7 * 3600 + 3599, "4d7h"],
  [WEEK - 1, "6d23h"],
  [WEEK, "1w0d"],
  [3 * WEEK + 3 * DAY + 3600, "3w3d"],
  [1000 * WEEK, "1000w0d"],
  [-5, "0s"],
  [Number.NaN, "0s"],
  [Number.POSITIVE_INFINITY, "0s"],
])("%d seconds are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});
