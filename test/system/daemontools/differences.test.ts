import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listedDifferences } from "./comparison.ts";

test("every difference that the documentation lists is shown by a case, and no other is", () => {
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
