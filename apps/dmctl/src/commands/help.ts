/** `dmctl help`, made from the table of commands. */
import { EXITS, unknownWord } from "../failure.ts";
import { type Command, operandShape } from "./command.ts";
import { OPTION_NAMES, type OptionName, optionShape } from "./options.ts";
import { paragraph, plain, sentence } from "./paragraph.ts";

const WIDTH = 100;

/** `start, up ID...`; `short` uses the short synopsis of a list. */
export const usage = ({ name, aliases = [], takes }: Command, short = false): string => {
  const shape = operandShape(takes);
  return `${[name, ...aliases].join(", ")} ${(short && shape.short) || shape.synopsis}`.trimEnd();
};

/** `-n, --lines N` */
export const spelling = (name: OptionName): string => {
  const { short, value } = optionShape(name);
  return `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
};

const aligned = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
};

const optionLines = (names: readonly OptionName[]): string => {
  const indent = (name: OptionName): string => (optionShape(name).short === undefined ? "    " : "");
  return aligned(names.map((name) => [`${indent(name)}${spelling(name)}`, optionShape(name).summary]));
};

const exitLines = (exits: Command["exits"]): string =>
  aligned(Object.entries(exits ?? {}).map(([code, meaning]) => [code, meaning]));

/** The text of `dmctl help`. */
export const helpText = (commands: readonly Command[]): string =>
  `usage: dmctl COMMAND [ID] [OPTION]...
       dmctl ID COMMAND [OPTION]...

ID is a daemon's name, or owner/name where several owners have one of that name.
"dmctl" alone is "dmctl ${commands[0]?.name ?? ""}". "dmctl help COMMAND" explains a command and its options.

Commands:
${aligned(commands.map((command) => [usage(command, true), command.summary]))}
Options:
${optionLines(OPTION_NAMES)}
Exit codes:
${exitLines(EXITS)}
DMCTL_SOCKET names the supervisor's socket.
`;

/** The text of `dmctl help <name>`. Throws a Failure (usage) for an unknown command. */
export const helpFor = (commands: readonly Command[], word: string): string => {
  const command = commands.find(({ name, aliases }) => name === word || aliases?.includes(word));
  if (command === undefined) {
    const names = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
    throw unknownWord("command", word, names);
  }
  const { summary, about, options, examples = [], exits } = command;
  const text = [sentence(summary), ...(about === undefined ? [] : [plain(about)])].join(" ");
  const sections = [
    `usage: dmctl ${usage(command)}${options.length === 0 ? "" : " [OPTION]..."}\n`,
    `${paragraph(text, WIDTH).join("\n")}\n`,
    options.length === 0 ? "" : `Options:\n${optionLines(options)}`,
    examples.length === 0 ? "" : `Examples:\n${examples.map((line) => `  ${line}\n`).join("")}`,
    exits === undefined ? "" : `Exit codes:\n${exitLines({ ...exits })}`,
  ];
  return sections.filter((section) => section !== "").join("\n");
};
