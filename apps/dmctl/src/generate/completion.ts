/** The part of completion/* that the table of commands determines: a region between two comments. */
import { POLICY_VERBS, SIGNALS } from "@dmhost/contract";
import { operandShape } from "../commands/command.ts";
import { OPTION_NAMES, type OptionName, optionShape } from "../commands/options.ts";
import { COMMANDS } from "../commands/table.ts";

const BEGIN = '# BEGIN of what "npm run generate" makes from apps/dmctl/src/commands';
const END = "# END";

const WIDTH = 120;

const flags = (names: readonly OptionName[]): string[] => names.map((name) => `--${name}`);

/** One row for each name of each command. */
const rows = COMMANDS.flatMap(({ name, aliases = [], takes, options, summary }) =>
  [name, ...aliases].map((word) => ({
    word,
    completes: operandShape(takes).completes,
    options: flags(options).join(" "),
    summary,
  })),
);
const aliases = COMMANDS.flatMap((command) => command.aliases ?? []);
const valued = OPTION_NAMES.flatMap((name) => {
  const { short, type } = optionShape(name);
  return type === "boolean" ? [] : [...(short === undefined ? [] : [`-${short}`]), `--${name}`];
});
const signals = [...SIGNALS.keys()];
const verbs = Object.keys(POLICY_VERBS);

/** Words behind `head`, in lines of at most WIDTH characters; each line but the last ends with `more`. */
const filled = (head: string, words: readonly string[], tail: string, more: string, indent: string): string => {
  const lines: string[] = [];
  let line = head;
  for (const word of words) {
    const joined = /[('=\s]$/.test(line) ? `${line}${word}` : `${line} ${word}`;
    if (joined.length + more.length + tail.length <= WIDTH) line = joined;
    else {
      lines.push(`${line}${more}`);
      line = `${indent}${word}`;
    }
  }
  return [...lines, `${line}${tail}`].join("\n");
};

const bash = (): string =>
  [
    "# COMMAND, what is completed after it, its options.",
    "_dmctl_table='",
    ...rows.map(({ word, completes, options }) => `${word} ${completes} ${options}`.trimEnd()),
    "'",
    filled("_dmctl_aliases='", aliases, "'", "", ""),
    "# Options that take a value.",
    filled("_dmctl_valued='", valued, "'", "", ""),
    filled("_dmctl_signals='", signals, "'", "", ""),
    "# What can be asked of the policy.",
    filled("_dmctl_verbs='", verbs, "'", "", ""),
  ].join("\n");

const quotedRows = (indent: string, more: string): string[] =>
  rows.map(
    ({ word, completes, options, summary }, index) =>
      `${indent}'${word}|${completes}|${options}|${summary}'${index < rows.length - 1 ? more : ""}`,
  );

const zsh = (): string =>
  [
    "# COMMAND|what is completed after it|its options|what it does",
    "local -a table=(",
    ...quotedRows("  ", ""),
    ")",
    filled("local -a other_names=(", aliases, ")", "", "  "),
    "# Options that take a value.",
    filled("local -a valued=(", valued, ")", "", "  "),
    filled("local -a signals=(", signals, ")", "", "  "),
    "# What can be asked of the policy.",
    filled("local -a verbs=(", verbs, ")", "", "  "),
    "local -A option_does=(",
    ...OPTION_NAMES.map((name) => `  --${name} '${optionShape(name).summary}'`),
    ")",
  ].join("\n");

const fish = (): string =>
  [
    "# COMMAND|what is completed after it|its options|what it does",
    "set -g __dmctl_table \\",
    ...quotedRows("    ", " \\"),
    filled("set -g __dmctl_aliases", aliases, "", " \\", "    "),
    "# Options that take a value.",
    filled("set -g __dmctl_valued", valued, "", " \\", "    "),
    filled("set -g __dmctl_signals", signals, "", " \\", "    "),
    "# What can be asked of the policy.",
    filled("set -g __dmctl_verbs", verbs, "", " \\", "    "),
    "set -g __dmctl_option_does \\",
    ...OPTION_NAMES.map(
      (name, index) => `    '--${name}|${optionShape(name).summary}'${index < OPTION_NAMES.length - 1 ? " \\" : ""}`,
    ),
  ].join("\n");

/** Puts `region` between the two comments of a script. Throws where they are missing. */
const withRegion = (script: string, region: string): string => {
  const begin = script.indexOf(`${BEGIN}\n`);
  const end = script.indexOf(`\n${END}\n`);
  if (begin < 0 || end < begin) throw new Error(`no lines "${BEGIN}" and "${END}"`);
  return `${script.slice(0, begin)}${BEGIN}\n${region}${script.slice(end)}`;
};

/** How each file of completion/ becomes current. */
export const COMPLETION_FILES: Readonly<Record<string, (script: string) => string>> = {
  "completion/dmctl.bash": (script) => withRegion(script, bash()),
  "completion/_dmctl": (script) => withRegion(script, zsh()),
  "completion/dmctl.fish": (script) => withRegion(script, fish()),
};
