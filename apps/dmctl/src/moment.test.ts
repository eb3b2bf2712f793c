import { expect, it } from "vitest";
import { readMoment } from "./moment.ts";

const NOW = Date.UTC(2026, 10, 21, 12);

it.each([
  ["90s", NOW - 90_000],
  ["1h30m", NOW - 5_400_000],
  ["1w2d", NOW - 9 * 86_400_000],
  ["1.5m", NOW - 90_000],
  ["90", NOW - 90_000],
  ["2026-11-21T10:00Z", NOW - 7_200_000],
  ["2026-11-21T10:00:00.5+01:00", NOW - 10_799_500],
  ["2026-11-21 10:00", new Date(2026, 10, 21, 10).getTime()],
  ["2026-11-21", new Date(2026, 10, 21).getTime()],
])("the text %s is read as a moment", (text, moment) => {
  expect(readMoment(text, NOW)).toBe(moment);
});

it.each(["", "h", "1y", "-1h", "yesterday", "2026-13-01", "2026-11-21T25:00", "2026-11-21T10:00 x"])(
  "the text %j is refused as a moment",
  (text) => {
    expect(readMoment(text, NOW)).toBeUndefined();
  },
);
