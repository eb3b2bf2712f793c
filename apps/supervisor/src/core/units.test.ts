import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cores,
  count,
  duration,
  GIB,
  HOUR,
  KIB,
  MIB,
  MINUTE,
  parseCount,
  parseDuration,
  parseSize,
  roughDuration,
  roughSize,
  SECOND,
  size,
  writeDuration,
  writeSize,
} from "./units.ts";

const DAY = 24 * HOUR;
const WEEK = 7 * DAY;

describe("a size", () => {
  it.each([
    ["0", 0],
    ["4096", 4096],
    ["4096 B", 4096],
    ["64k", 64 * KIB],
    ["64m", 64 * MIB],
    ["64M", 64 * MIB],
    ["64 M", 64 * MIB],
    ["64\tM", 64 * MIB],
    ["64MiB", 64 * MIB],
    ["64 MiB", 64 * MIB],
    ["64mib", 64 * MIB],
    ["1.5G", 1.5 * GIB],
    ["0.1 KiB", 102],
    ["2T", 2048 * GIB],
    ["007K", 7 * KIB],
  ])("a size of %j is read", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    "",
    "M",
    "-1",
    "+1",
    "1.",
    ".5",
    "1.5",
    "1.5B",
    "64MB",
    "64Mi",
    "64 M B",
    "64 bytes",
    "1e3",
    "0x10",
    "1,5M",
    "5P",
    "0.0004K",
  ])("a size is not read from %j", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it("a size is not read from more digits than a number holds exactly", () => {
    expect(["9".repeat(16), "9".repeat(400), "9999999G"].map(parseSize)).toEqual([undefined, undefined, undefined]);
  });

  it.each([
    [0, "0 B"],
    [5000, "5000 B"],
    [4096, "4 KiB"],
    [64 * MIB, "64 MiB"],
    [1.5 * GIB, "1536 MiB"],
    [2 * GIB, "2 GiB"],
    [1024 * GIB, "1 TiB"],
  ])("a size of %d bytes is written exactly", (bytes, text) => {
    expect(writeSize(bytes)).toBe(text);
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1 KiB"],
    [63.94 * MIB, "63.9 MiB"],
    [512 * MIB, "512 MiB"],
    [1000 * MIB, "1 GiB"],
    [1536 * MIB, "1.5 GiB"],
    [2 ** 50, "1024 TiB"],
  ])("a size of %d bytes is written roughly", (bytes, text) => {
    expect(roughSize(bytes)).toBe(text);
  });

  it("a size is read as it was written, and written in at most nine characters", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(writeSize(bytes)) === bytes));
    fc.assert(fc.property(fc.nat(2 ** 49), (bytes) => roughSize(bytes).length <= 9));
  });
});

describe("a duration", () => {
  it.each([
    ["0", 0],
    ["90", 90 * SECOND],
    ["0.25", 250],
    ["250ms", 250],
    ["90s", 90 * SECOND],
    ["10 s", 10 * SECOND],
    ["1.5m", 90 * SECOND],
    ["1m30s", 90 * SECOND],
    ["1m 30s", 90 * SECOND],
    ["1 m 30 s", 90 * SECOND],
    ["30s1m", 90 * SECOND],
    ["1h30m", 90 * MINUTE],
    ["1h1h", 2 * HOUR],
    ["1m5ms", MINUTE + 5],
    ["2d", 2 * DAY],
    ["1w2d", WEEK + 2 * DAY],
    ["0.0005", 1],
    ["0.000", 0],
    ["0h0ms", 0],
  ])("a duration of %j is read", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each([
    "",
    "s",
    "-1s",
    "1.",
    ".5",
    "1m30",
    "30 1m",
    "1y",
    "1H",
    "1M",
    "1min",
    "10sec",
    "1:30",
    "1e3",
    "1,5m",
    " 1s",
    "1s ",
    "0.0004",
    "0.4ms",
    "0h0.1ms",
  ])("a duration is not read from %j", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it("a duration is not read from more digits than a number holds", () => {
    expect(["9".repeat(400), `${"9".repeat(400)}h`].map(parseDuration)).toEqual([undefined, undefined]);
  });

  it("a duration is read from a text of 64 KiB, or refused, without backtracking", () => {
    const long = 32_768;
    const texts = ["1m".repeat(long), `${"1m".repeat(long)}!`, "1 ".repeat(long), "1".repeat(2 * long)];
    expect(texts.map(parseDuration)).toEqual([long * MINUTE, undefined, undefined, undefined]);
  });

  it.each([
    [0, "0s"],
    [250, "250ms"],
    [1500, "1s500ms"],
    [90 * SECOND, "1m30s"],
    [90 * MINUTE, "1h30m"],
    [DAY, "1d"],
    [WEEK + 1, "1w1ms"],
  ])("a duration of %d ms is written exactly", (milliseconds, text) => {
    expect(writeDuration(milliseconds)).toBe(text);
  });

  it("a duration is read as it was written", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (milliseconds) => parseDuration(writeDuration(milliseconds)) === milliseconds),
    );
  });

  it.each([
    [0, "0s"],
    [0.9, "0s"],
    [1, "1s"],
    [59.999, "59s"],
    [60, "1m0s"],
    [61, "1m1s"],
    [3599, "59m59s"],
    [3600, "1h0m"],
    [3661, "1h1m"],
    [12 * 3600 + 57 * 60 + 59, "12h57m"],
    [86_399, "23h59m"],
    [86_400, "1d0h"],
    [4 * 86_400 + 7 * 3600 + 3599, "4d7h"],
    [604_799, "6d23h"],
    [604_800, "1w0d"],
    [24 * 86_400 + 3600, "3w3d"],
    [604_800_000, "1000w0d"],
    [-5, "0s"],
    [Number.NaN, "0s"],
    [Number.POSITIVE_INFINITY, "0s"],
  ])("a duration of %d seconds is written roughly", (seconds, text) => {
    expect(roughDuration(seconds * SECOND)).toBe(text);
  });
});

describe("a count", () => {
  it.each([
    ["0", 0],
    ["08", 8],
    ["1K", 1024],
    ["1 k", 1024],
    ["2M", 2 * MIB],
    ["1G", GIB],
  ])("a count of %j is read", (text, number) => {
    expect(parseCount(text)).toBe(number);
  });

  it.each(["", "K", "-1", "1.5", "1.5K", "1KiB", "1 B", "1T", "all", "9".repeat(16)])(
    "a count is not read from %j",
    (text) => {
      expect(parseCount(text)).toBeUndefined();
    },
  );
});

describe("a quantity", () => {
  it.each([
    [size(), "0 or a size of at least 1 B, such as 8M or 1.5 MiB"],
    [size({ least: MIB }), "a size of at least 1 MiB, such as 8M or 1.5 MiB"],
    [size({ least: 4 * KIB, most: 255 * MIB }), "a size from 4 KiB to 255 MiB, such as 8M or 1.5 MiB"],
    [duration(), "0 or a duration from 1ms to 1d, such as 10s or 1m30s"],
    [duration({ most: 10 * MINUTE }), "0 or a duration from 1ms to 10m, such as 10s or 1m30s"],
    [count(), "a whole number, such as 1024 or 4K"],
    [count({ least: 1, most: 64 }), "a whole number from 1 to 64"],
    [cores(), "a number of processors from 0.01 to 1024, such as 0.5"],
  ])("a quantity describes its form and bounds: %#", ({ expected }, words) => {
    expect(expected).toBe(words);
  });

  it("a quantity accepts its bounds and refuses the next value outside", () => {
    const { read } = size({ least: 4096, most: 8192 });
    expect(["4095", "4096", "8K", "8193", "x"].map(read)).toEqual([undefined, 4096, 8192, undefined, undefined]);
    expect(["0", "0.01", "0.001", "1024", "1025", ".5"].map(cores().read)).toEqual([
      undefined,
      0.01,
      undefined,
      1024,
      undefined,
      undefined,
    ]);
  });
});
