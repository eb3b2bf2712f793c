/** The sections of dmctl(1) that repeat the tables of commands, options, states and failures. */
import { STATE_MEANINGS } from "@dmhost/contract";
import type { Command } from "../apps/dmctl/src/commands/command.ts";
import { spelling, usage } from "../apps/dmctl/src/commands/help.ts";
import { OPTION_NAMES, type OptionName, optionShape } from "../apps/dmctl/src/commands/options.ts";
import { paragraph, sentence } from "../apps/dmctl/src/commands/paragraph.ts";
import { COMMANDS } from "../apps/dmctl/src/commands/table.ts";
import { EXITS, FAILURES } from "../apps/dmctl/src/failure.ts";
import { type Artefact, region } from "./artefact.ts";

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

const errorEntries = (): string =>
  Object.entries(FAILURES)
    .map(([code, { exit, means }]) => entry(bold(code), `${sentence(means)} Exit status ${exit}.`))
    .join("\n\n");

const stateEntries = (): string =>
  Object.entries(STATE_MEANINGS)
    .map(([state, meaning]) => entry(bold(state), meaning.replace(/`([^`]+)`/g, "*$1*")))
    .join("\n\n");

const PAGE = "man/dmctl.1.md";

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => [
  region(PAGE, "synopsis", "**dmctl** *COMMAND* [*ID*] [*OPTION*]...\n\n**dmctl** *ID* *COMMAND* [*OPTION*]..."),
  region(PAGE, "commands", COMMANDS.map(commandEntry).join("\n\n")),
  region(PAGE, "options", OPTION_NAMES.map(optionEntry).join("\n\n")),
  region(PAGE, "states", stateEntries()),
  region(
    PAGE,
    "exit-codes",
    Object.entries(EXITS)
      .map(([code, meaning]) => entry(bold(code), sentence(meaning)))
      .join("\n\n"),
  ),
  region(PAGE, "errors", errorEntries()),
  region(PAGE, "examples", ["```", ...COMMANDS.flatMap(({ examples = [] }) => examples), "```"].join("\n")),
];
