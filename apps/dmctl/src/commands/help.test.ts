import { EXIT } from "@dmhost/contract";
import { describe, expect, test } from "vitest";
import { helpFor, helpText } from "./help.ts";
import { OPTION_NAMES } from "./options.ts";
import { plain } from "./paragraph.ts";
import { COMMANDS } from "./table.ts";

/** What stands on the left of the rows below a heading. */
const leftOf = (help: string, heading: string): string[] => {
  const section = help.split(`${heading}:\n`)[1]?.split("\n\n")[0] ?? "";
  return section.split("\n").flatMap((line) => /^ {2,6}(\S.*?) {2,}\S/.exec(line)?.[1] ?? []);
};
const optionsIn = (help: string): (string | undefined)[] =>
  leftOf(help, "Options").map((left) => /--[a-z0-9]+/.exec(left)?.[0]);

const all = helpText(COMMANDS);

test("help lists every command, every option and every exit code, in lines of at most 120 characters", () => {
  expect(leftOf(all, "Commands").map((left) => left.split(/[ ,]/)[0])).toEqual(COMMANDS.map(({ name }) => name));
  expect(optionsIn(all)).toEqual(OPTION_NAMES.map((name) => `--${name}`));
  expect(leftOf(all, "Exit codes")).toEqual(Object.values(EXIT).map(String));
  expect(all.split("\n").filter((line) => line.length > 120)).toEqual([]);
});

const words = COMMANDS.flatMap((command) =>
  [command.name, ...(command.aliases ?? [])].map((word) => ({ word, command })),
);

describe.each(words)("help of $word", ({ word, command }) => {
  const help = helpFor(COMMANDS, word);

  test("the help of a command has its usage, options and examples", () => {
    expect(help).toMatch(new RegExp(`^usage: dmctl ${command.name}[ ,\n]`));
    expect(optionsIn(help)).toEqual(command.options.map((name) => `--${name}`));
    for (const example of command.examples ?? []) expect(help).toContain(`\n  ${example}\n`);
  });

  test("the help of a command has its whole text, in lines of at most 100 characters", () => {
    const text = help.replace(/\n/g, " ");
    for (const part of [command.summary.slice(1), plain(command.about ?? "")]) expect(text).toContain(part);
    expect(help.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });
});

test.each([
  ["resart", 'unknown command "resart": did you mean "restart"?'],
  ["frobnicate", 'unknown command "frobnicate": '],
])("help of %j, which is no command, is a usage failure", (word, message) => {
  expect(() => helpFor(COMMANDS, word)).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(message) }),
  );
});
