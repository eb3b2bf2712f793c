import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { labelAt, labelOf, type Stamper, tai64nLocal } from "./tai64n.ts";

const label = (tai: number, nanoseconds = 0): string =>
  `@${(2n ** 62n + BigInt(tai)).toString(16).padStart(16, "0")}${nanoseconds.toString(16).padStart(8, "0")}`;

describe("a TAI64N label", () => {
  it("a TAI64N label is found at the start of a line, with a text or a suffix behind it", () => {
    const now = labelAt(0);
    expect([now, `${now} x`, `${now}.s`].map(labelOf)).toEqual([now, now, now]);
    expect(["", " ", "x", `x${now}`, `${now}0`, now.slice(0, -1), now.toUpperCase()].map(labelOf)).toEqual(
      Array(7).fill(undefined),
    );
  });

  it.each<[string, Stamper, string]>([
    ["@4000000037c219bf2ef02e94 mark\n", "s6-log", "1999-08-24 04:03:43.787492500 mark\n"],
    ["@4000000037c219bf2ef02e94 mark\n", "multilog", "1999-08-24 04:04:05.787492500 mark\n"],
    [label(10), "s6-log", "1970-01-01 00:00:00.000000000"],
    [label(9, 10), "s6-log", "1969-12-31 23:59:59.000000010"],
    [`${label(10, 999_999_999)}:`, "multilog", "1970-01-01 00:00:00.999999999:"],
    [label(78_796_809), "s6-log", "1972-06-30 23:59:59.000000000"],
    [label(78_796_810), "s6-log", "1972-06-30 23:59:60.000000000"],
    [label(78_796_811), "s6-log", "1972-07-01 00:00:00.000000000"],
    [label(78_796_810), "multilog", "1972-07-01 00:00:00.000000000"],
    [label(1_483_228_835), "s6-log", "2016-12-31 23:59:59.000000000"],
    [label(1_483_228_836), "s6-log", "2016-12-31 23:59:60.000000000"],
    [label(1_483_228_837), "s6-log", "2017-01-01 00:00:00.000000000"],
    [label(1_483_228_837), "multilog", "2017-01-01 00:00:27.000000000"],
    ["@400000007fffffff00000000 x", "multilog", "2038-01-19 03:13:57.000000000 x"],
    ["@4000003bfff4417f00000000", "multilog", "10136-02-07 06:28:05.000000000"],
    ["@40000000800000090000000012", "s6-log", "@40000000800000090000000012"],
  ])("the label %j of %s is shown as %j", (line, stamper, shown) => {
    expect(tai64nLocal(line, "utc", stamper)).toBe(shown);
  });

  it.each([
    "",
    "\n",
    "plain",
    "@",
    "@4000000037c219bf2ef02e9",
    "@4000000037c219bf2ef02e9 short",
    "@4000000037C219BF2EF02E94 upper case",
    "@4000000037c219bf2ef02e94f too long",
    "@4000000037c219bfffffffff nanoseconds",
    "@ffffffffffffffff00000000 reserved",
    "@0000000000000000000000000",
    "@000000000000000000000000 before all Dates",
    " @4000000037c219bf2ef02e94 later in the line",
  ])("a TAI64N label is not found in %j, which is returned as it is", (line) => {
    for (const clock of ["utc", "local"] as const) expect(tai64nLocal(line, clock)).toBe(line);
  });

  it("a TAI64N label is shown in the local time of the machine", () => {
    const moment = new Date(2026, 10, 21, 10, 20, 30);
    expect(tai64nLocal(`${label(moment.getTime() / 1000 + 37, 123_456_789)} x`)).toBe(
      "2026-11-21 10:20:30.123456789 x",
    );
  });

  it("a TAI64N label never makes the conversion fail", () => {
    const hex = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 20, maxLength: 27 });
    fc.assert(fc.property(hex, fc.string(), (digits, rest) => tai64nLocal(`@${digits}${rest}`).endsWith(rest)));
  });

  it("a TAI64N label of a moment has the offset of its stamper", () => {
    const [y1971, y1999, y2026] = [Date.UTC(1971, 5), Date.UTC(1999, 7, 24), Date.UTC(2026, 10, 21)];
    const offset = (moment: number, stamper: Stamper) =>
      Number(BigInt(`0x${labelAt(moment, stamper).slice(1, 17)}`) - 2n ** 62n) - moment / 1000;
    expect([y1971, y1999, y2026].map((moment) => offset(moment, "s6-log"))).toEqual([10, 32, 37]);
    expect([y1971, y1999, y2026].map((moment) => offset(moment, "multilog"))).toEqual([10, 10, 10]);
  });

  it("a TAI64N label of a moment is shown as that moment, to the millisecond", () => {
    const moments = fc.integer({ min: Date.UTC(1960, 0), max: Date.UTC(2100, 0) });
    fc.assert(
      fc.property(moments, fc.constantFrom<Stamper>("s6-log", "multilog"), (moment, stamper) => {
        const text = new Date(moment).toISOString().replace("T", " ").replace("Z", "000000");
        expect(tai64nLocal(labelAt(moment, stamper), "utc", stamper)).toBe(text);
      }),
    );
  });

  it("a TAI64N label of a later moment sorts after that of an earlier one", () => {
    const moments = fc.double({ min: 0, max: Date.UTC(2100, 0), noNaN: true });
    fc.assert(fc.property(moments, moments, (a, b) => a > b || labelAt(a) <= labelAt(b)));
  });
});
