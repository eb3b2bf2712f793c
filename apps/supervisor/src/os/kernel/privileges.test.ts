import { expect, test } from "vitest";
import { hasIdCapabilities } from "./privileges.ts";

test.each([
  ["00000000000000c0", true],
  ["000001ffffffffff", true],
  ["0000000000000080", false],
  ["0000000000000040", false],
  ["0000000000000000", false],
])("with the effective capabilities %s a process can take another account's ids: %s", (capabilities, can) => {
  expect(hasIdCapabilities(`Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${capabilities}\nCapBnd:\t0\n`)).toBe(can);
});

test("without a status a process cannot take another account's ids", () => {
  expect(hasIdCapabilities("")).toBe(false);
});
