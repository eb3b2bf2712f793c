/** `dmctl help`, out of the table of commands. */
import { misuse } from "../failure.ts";
import { OPTIONS, type OptionName, type Shape, VALUE_NAMES } from "./invocation.ts";

type Explained = Shape & { readonly does: string };

const OPERANDS = {
  none: "",
  optional: " [ID]",
  one: " ID",
  many: " ID...",
  command: " [COMMAND]",
  question: " ID",
  sized: " ID NUMBER",
} as const;

/** The whole of what is too wide for the list of commands. */
const WHOLE_OPERANDS = { ...OPERANDS, question: " ID | --policy CALLER VERB OWNER/NAME" } as const;

const usage = (command: Explained, operands: Readonly<Record<Shape["ids"], string>> = OPERANDS): string =>
  `${[command.verb, ...(command.aliases ?? [])].join(", ")}${operands[command.ids]}${command.signal ? " [-SIGNAL]" : ""}`;

const spelling = (name: OptionName): string => {
  const option: { type: string; short?: string } = OPTIONS[name];
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  return `${short}--${name}${option.type === "string" ? ` ${VALUE_NAMES[name]}` : ""}`;
};

const aligned = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
};

const optionLines = (names: readonly OptionName[]): string =>
  aligned(names.map((name) => [spelling(name), OPTIONS[name].says]));

/** The text of `dmctl help`. */
export const helpText = (commands: readonly Explained[]): string =>
  `usage: dmctl COMMAND [ID] [OPTION]...
       dmctl ID COMMAND [OPTION]...

ID is a daemon's name, or owner/name where several owners have one of that name.
"dmctl" alone is "dmctl ${commands[0]?.verb ?? ""}".

${aligned(commands.map((command) => [usage(command), command.does]))}
Options, each where "dmctl help COMMAND" names it:
${optionLines(Object.keys(OPTIONS) as OptionName[])}
DMCTL_SOCKET names the supervisor's socket. Exit codes: 0 done, 1 the daemon did not get there, 2 wrong usage,
3 not permitted or not found, 4 no supervisor answers.
`;

/** The text of `dmctl help <verb>`. Throws a Failure (exit 2) for what is no command. */
export const helpFor = (commands: readonly Explained[], verb: string): string => {
  const command = commands.find((candidate) => candidate.verb === verb || candidate.aliases?.includes(verb));
  if (command === undefined) throw misuse(`"${verb}" is no command`);
  const options = command.options.length === 0 ? "" : `\n${optionLines(command.options)}`;
  return `usage: dmctl ${usage(command, WHOLE_OPERANDS)}\n\n${command.does}\n${options}`;
};
