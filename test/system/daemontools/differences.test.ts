import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listedDifferences } from "./comparison.ts";

test("the differences in docs/reference/daemontools.md are exactly those that the comparison tests show", () => {
  const tests = readdirSync(import.meta.dirname).filter(
    (file) => file.endsWith(".test.ts") && !file.startsWith("differences"),
  );
  const shown = tests.flatMap((file) =>
    [...readFileSync(join(import.meta.dirname, file), "utf8").matchAll(/difference: "([^"]+)"/g)].map(
      ([, name]) => name,
    ),
  );
  expect([...new Set(shown)].sort()).toEqual([...listedDifferences()].sort());
});
