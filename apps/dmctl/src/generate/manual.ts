/** The sections of dmctl(1) that the table of commands determines. */
import type { Command } from "../commands/command.ts";
import { spelling, usage } from "../commands/help.ts";
import { OPTION_NAMES, type OptionName, optionShape } from "../commands/options.ts";
import { paragraph, sentence } from "../commands/paragraph.ts";
import { COMMANDS } from "../commands/table.ts";
import { EXITS, FAILURES } from "../failure.ts";

const WIDTH = 120;

/** Dashes as Markdown needs them in bold words. */
const bold = (word: string): string => `**${word.replace(/^--/, "\\--")}**`;

/** `ID...` as `*ID*...`, `--policy` as `**\--policy**`. */
const operands = (text: string): string => text.replace(/--[a-z0-9]+/g, bold).replace(/[A-Z]+/g, (word) => `*${word}*`);

const entry = (term: string, text: string): string => {
  const [first = "", ...rest] = paragraph(text, WIDTH, "    ");
  return [term, first.replace(/^ {4}/, ":   "), ...rest].join("\n");
};

const commandEntry = (command: Command): string => {
  const { name, aliases = [], summary, about, options, exits } = command;
  const names = [name, ...aliases];
  const rest = usage(command).slice(names.join(", ").length);
  const meanings = Object.entries(exits ?? {}).map(
    ([code, meaning]) => `${code}: ${meaning.replace(/--[a-z]+/g, bold)}`,
  );
  const text = [
    sentence(summary),
    about?.replaceAll("**--", "**\\--"),
    meanings.length === 0 ? undefined : `Exit status ${meanings.join("; ")}.`,
    options.length === 0 ? undefined : `Options: ${options.map((option) => bold(`--${option}`)).join(", ")}.`,
  ];
  return entry(`${names.map(bold).join(", ")}${operands(rest)}`, text.filter((part) => part !== undefined).join(" "));
};

const optionEntry = (name: OptionName): string => {
  const { summary, about } = optionShape(name);
  const term = spelling(name)
    .replace(/--?[a-zA-Z0-9]+/g, bold)
    .replace(/ ([A-Z]+)$/, " *$1*");
  return entry(term, [sentence(summary), about].filter((part) => part !== undefined).join(" "));
};

const errorsSection = (): string =>
  [
    ...paragraph(
      "With **\\--json**, standard output has the answer alone, and standard error has one line of JSON for each error: " +
        '`{"error": {"code": ..., "message": ..., "details": [...]}}`. *message* is for people and may change; *details* is ' +
        "there where an error has some. Warnings about files are in the answer. **start**, **stop**, **restart** and the " +
        "like print one outcome for each daemon, in which *changed* says whether anything changed; an outcome with *ok* " +
        "false is an error as well. The codes, with the exit status:",
      WIDTH,
    ),
    "",
    ...Object.entries(FAILURES).map(
      ([code, { exit, means }]) => `${entry(bold(code), `${sentence(means)} (${exit})`)}\n`,
    ),
  ]
    .join("\n")
    .trimEnd();

/** Text of each section. */
const SECTIONS: Readonly<Record<string, () => string>> = {
  SYNOPSIS: () => "**dmctl** *COMMAND* [*ID*] [*OPTION*]...\n\n**dmctl** *ID* *COMMAND* [*OPTION*]...",
  COMMANDS: () => COMMANDS.map(commandEntry).join("\n\n"),
  OPTIONS: () =>
    [
      "An option that the command does not have is an error. They may stand before or after the other words.",
      ...OPTION_NAMES.map(optionEntry),
    ].join("\n\n"),
  "EXIT STATUS": () =>
    Object.entries(EXITS)
      .map(([code, meaning]) => entry(bold(code), sentence(meaning)))
      .join("\n\n"),
  ERRORS: errorsSection,
  EXAMPLES: () => COMMANDS.flatMap(({ examples = [] }) => examples.map((line) => `    ${line}`)).join("\n"),
};

/** Replaces the generated sections of a page. Throws where one has no heading. */
export const currentPage = (page: string): string =>
  Object.entries(SECTIONS).reduce((text, [heading, section]) => {
    const [before, behind] = text.split(`\n# ${heading}\n`);
    if (before === undefined || behind === undefined) throw new Error(`man/dmctl.1.md has no heading "# ${heading}"`);
    const next = behind.indexOf("\n# ");
    return `${before}\n# ${heading}\n\n${section()}\n${next < 0 ? "" : behind.slice(next)}`;
  }, page);
