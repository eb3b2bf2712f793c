import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readInvocation } from "./invocation.ts";
import { OPTION_NAMES, OPTIONS } from "./options.ts";
import { COMMANDS } from "./table.ts";

const summaries = [...COMMANDS.map(({ summary }) => summary), ...OPTION_NAMES.map((name) => OPTIONS[name].summary)];

test("no two commands share a name or an alias", () => {
  const names = COMMANDS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  expect(new Set(names).size).toBe(names.length);
});

test("every option belongs to a command, or is --help or --version", () => {
  const used = new Set(COMMANDS.flatMap(({ options }) => options));
  expect(OPTION_NAMES.filter((name) => !used.has(name))).toEqual(["help", "version"]);
});

test("every command has --json, except those that docs/how-to/diagnose.md names", () => {
  const without = COMMANDS.filter(({ options }) => !options.includes("json")).map(({ name }) => name);
  const guide = readFileSync(join(import.meta.dirname, "../../../../docs/how-to/diagnose.md"), "utf8");
  const sentence = /Every command takes `--json`, except (.*?)\. Exit codes/s.exec(guide)?.[1] ?? "";
  const named = [...sentence.matchAll(/`(\w+)`/g)].map(([, name]) => name);
  expect(named.sort()).toEqual(without.sort());
});

test.each(summaries)("the summary %j is one short line without what shells quote", (summary) => {
  expect(summary).toMatch(/^[a-z][^|:'"`$\\*\n]{1,79}(?<!\.)$/);
});

/** Splits a command line as a shell does that has only single quotes, up to a redirection. */
const split = (line: string): string[] =>
  [...line.replace(/ < .*/, "").matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);

test.each(COMMANDS.flatMap(({ name, examples = [] }) => examples.map((line) => [line, name])))(
  "the example %j is a command line of %s",
  (line, name) => {
    const [program, ...words] = split(line);
    expect([program, readInvocation(COMMANDS, words).command.name]).toEqual(["dmctl", name]);
  },
);
