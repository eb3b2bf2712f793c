/** The words that docs/glossary.md tells to avoid, against all texts of the repository. */
import { globSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "..");
const GLOSSARY = "docs/glossary.md";

/** Why a word may stand in files whose path matches: there it means something other than the glossary's term. */
interface Exception {
  readonly word: string;
  readonly path: RegExp;
  readonly reason: string;
}
const EXCEPTIONS: readonly Exception[] = [
  { word: "held", path: /./, reason: "part of the term held socket; only limits are not held" },
  ...["asked", "bar", "dozing", "easing", "lasting", "ration", "rationed", "surplus"].map((word) => ({
    word,
    path: /^(apps\/supervisor\/src\/os\/files\/record-format\.ts|test\/system\/records\.test\.ts)$/,
    reason: "a name in the records of release 0.1.0",
  })),
  { word: "fresh", path: /^(apps\/supervisor\/src\/(engine|os)|test)\//, reason: "new; no instance is called so" },
];

/** Files of others, and copies of released answers and records. */
const FOREIGN =
  /^(package-lock\.json|LICENSE|test\/contract\/v1\/.*|.*\/kept-records\/.*|\.git|\.cache\/.*|coverage\/.*|shim\/dmhost-shim)$/;
const FILES = globSync("**", {
  cwd: ROOT,
  withFileTypes: true,
  exclude: ({ name }) => /^(node_modules|dist)$/.test(name),
})
  .filter((entry) => entry.isFile())
  .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
  .filter((path) => !FOREIGN.test(path) && path !== GLOSSARY && path !== relative(ROOT, import.meta.filename));

/** The last column of all tables with a column "not", and the quoted words of the section Style. */
const avoidedWords = (glossary: string): string[] => {
  const words: string[] = [];
  let hasColumn = false;
  for (const line of glossary.split("\n")) {
    const cells = line.startsWith("|") ? line.split("|").slice(1, -1) : [];
    const last = cells.at(-1)?.trim() ?? "";
    if (cells.length === 0) hasColumn = false;
    else if (last === "not") hasColumn = true;
    else if (hasColumn && !/^-*$/.test(last)) words.push(...last.split(/,\s*/));
  }
  const [, style = ""] = glossary.split("\n## Style\n");
  const [, avoided = ""] = /Avoid ([^:]*):/.exec(style) ?? [];
  return [...new Set([...words, ...[...avoided.matchAll(/"([^"]+)"/g)].map(([, word = ""]) => word)])];
};

/** Finds a word or phrase with its inflections, also across the end of a comment's line. */
const pattern = (phrase: string): RegExp =>
  new RegExp(
    `(?<![a-z])${phrase
      .split(" ")
      .map((word) => `${word}(?:s|es|d|ed|ing)?`)
      .join("[\\s*#/]+")}(?![a-z])`,
    "g",
  );

/** Text in lower case, with the words of names such as `beginAnew` apart. Lines keep their numbers. */
const plain = (text: string): string => text.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();

interface Finding {
  readonly word: string;
  readonly path: string;
  readonly line: number;
}
const findings = (path: string, text: string, words: readonly string[]): Finding[] =>
  words.flatMap((word) =>
    [...plain(text).matchAll(pattern(word))].map(({ index }) => {
      const line = plain(text).slice(0, index).split("\n").length;
      return { word, path, line };
    }),
  );

const excepts = ({ word, path }: Finding, exception: Exception): boolean =>
  exception.word === word && exception.path.test(path);

describe("the words that the glossary avoids", () => {
  const words = avoidedWords(readFileSync(join(ROOT, GLOSSARY), "utf8"));
  const found = FILES.flatMap((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    return text.includes("\0") ? [] : findings(path, text, words);
  });

  test("the glossary names words to avoid in its tables and in its section Style", () => {
    expect(words).toEqual(expect.arrayContaining(["household", "ease out", "for want of"]));
  });

  test("a word to avoid is found in a name, with an inflection and across two lines of a comment", () => {
    const text = "const firstHousehold = 1;\n * They give\n * way.\n// It wishes.\n";
    expect(findings("a.ts", text, ["household", "give way", "wish", "bar"])).toEqual([
      { word: "household", path: "a.ts", line: 1 },
      { word: "give way", path: "a.ts", line: 2 },
      { word: "wish", path: "a.ts", line: 4 },
    ]);
  });

  test("no file uses a word that the glossary avoids", () => {
    const faults = found.filter((one) => !EXCEPTIONS.some((exception) => excepts(one, exception)));
    expect(faults.map(({ word, path, line }) => `${path}:${line}: ${word}`)).toEqual([]);
  });

  test.each(EXCEPTIONS)("the exception for $word in $path is needed: $reason", (exception) => {
    expect(found.some((one) => excepts(one, exception))).toBe(true);
  });
});
