/** The programs in apps/ export only what another file names: what is exported counts as used, so the compiler never reports it. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const FILES = globSync("{apps,packages,generate,test}/**/*.ts", { cwd: ROOT, exclude: ["**/node_modules"] });
const EXPORT = /^export (?:async )?(?:const|function|class|interface|type) (\w+)/gm;

test("each export of the programs is named in another file", () => {
  const sources = FILES.map((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    return { path, text, words: new Set(text.match(/\w+/g)) };
  });
  const programs = sources.filter(({ path }) => path.startsWith("apps/") && !/\.(test|fake)\.ts$/.test(path));
  const superfluous = programs.flatMap(({ path, text }) =>
    [...text.matchAll(EXPORT)]
      .map(([, name = ""]) => name)
      .filter((name) => !sources.some((other) => other.path !== path && other.words.has(name)))
      .map((name) => `${path}: ${name}`),
  );
  expect(programs.length).toBeGreaterThan(100);
  expect(superfluous).toEqual([]);
});
