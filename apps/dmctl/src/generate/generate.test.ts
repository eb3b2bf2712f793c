import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GENERATED, ROOT } from "./main.ts";

test.each(Object.keys(GENERATED))("%s is what `npm run generate` makes of the table of commands.", (path) => {
  const committed = readFileSync(join(ROOT, path), "utf8");
  expect(GENERATED[path]?.(committed)).toBe(committed);
});

test.each(Object.keys(GENERATED))("Generating %s fails when the place for its text is missing.", (path) => {
  expect(() => GENERATED[path]?.("")).toThrow(/^(?:no lines|man\/dmctl\.1\.md has no heading)/);
});
