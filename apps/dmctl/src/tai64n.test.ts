import fc from "fast-check";
import { expect, test } from "vitest";
import { tai64nLocal } from "./tai64n.ts";

test("the label of the specification", () => {
  expect(tai64nLocal("@4000000037c219bf2ef02e94 mark\n", "utc")).toBe("1999-08-24 04:04:05.787492500 mark\n");
});

test.each([
  ["@400000000000000a00000000", "1970-01-01 00:00:00.000000000"],
  ["@40000000000000090000000a", "1969-12-31 23:59:59.000000010"],
  ["@400000000000000a3b9ac9ff:", "1970-01-01 00:00:00.999999999:"],
  ["@400000007fffffff00000000 x", "2038-01-19 03:13:57.000000000 x"],
  ["@4000003bfff4417f00000000", "10136-02-07 06:28:05.000000000"],
  ["@40000000800000090000000012", "@40000000800000090000000012"],
])("%s is %s", (line, shown) => {
  expect(tai64nLocal(line, "utc")).toBe(shown);
});

test.each([
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
])("%j passes through", (line) => {
  expect(tai64nLocal(line, "utc")).toBe(line);
  expect(tai64nLocal(line, "local")).toBe(line);
});

test("local time is the machine's", () => {
  const moment = new Date(2026, 10, 21, 10, 20, 30);
  const seconds = (BigInt(moment.getTime() / 1000) + 2n ** 62n + 10n).toString(16);
  expect(tai64nLocal(`@${seconds}075bcd15 x`)).toBe("2026-11-21 10:20:30.123456789 x");
});

test("no label makes it fail", () => {
  const hex = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 20, maxLength: 27 });
  fc.assert(fc.property(hex, fc.string(), (label, rest) => tai64nLocal(`@${label}${rest}`).endsWith(rest)));
});
