/** What completion/* repeats from dmctl's table of commands, between the lines `# generate dmctl` and `# end dmctl`. */
import { POLICY_VERBS, SIGNALS } from "@dmhost/contract";
import { operandShape } from "../apps/dmctl/src/commands/command.ts";
import { OPTION_NAMES, type OptionName, optionShape } from "../apps/dmctl/src/commands/options.ts";
import { COMMANDS } from "../apps/dmctl/src/commands/table.ts";
import type { Artefact } from "./artefact.ts";

const BEGIN = "# generate dmctl";
const END = "# end dmctl";

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
    "# What the policy can be queried about.",
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
    "# What the policy can be queried about.",
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
    "# What the policy can be queried about.",
    filled("set -g __dmctl_verbs", verbs, "", " \\", "    "),
    "set -g __dmctl_option_does \\",
    ...OPTION_NAMES.map(
      (name, index) => `    '--${name}|${optionShape(name).summary}'${index < OPTION_NAMES.length - 1 ? " \\" : ""}`,
    ),
  ].join("\n");

const artefact = (path: string, text: () => string): Artefact => ({
  path,
  apply: (script) => {
    const begin = script.indexOf(`\n${BEGIN}\n`);
    const end = script.indexOf(`\n${END}\n`, begin);
    if (begin < 0 || end < 0) throw new Error(`${path}: expected the lines ${BEGIN} and ${END}`);
    return `${script.slice(0, begin)}\n${BEGIN}\n${text()}${script.slice(end)}`;
  },
});

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => [
  artefact("completion/dmctl.bash", bash),
  artefact("completion/_dmctl", zsh),
  artefact("completion/dmctl.fish", fish),
];
