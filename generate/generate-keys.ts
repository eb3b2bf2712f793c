/** The key tables of man/*.5.md and docs/reference, out of the tables by which the files are read. */
import { DAEMON_KEYS } from "../apps/supervisor/src/conf/daemon-keys.ts";
import { SETTINGS_KEYS } from "../apps/supervisor/src/conf/settings-keys.ts";
import { BUDGET_KEYS, BUDGET_QUANTITIES, type BudgetKey } from "../apps/supervisor/src/core/budget.ts";
import { type Artefact, region } from "./artefact.ts";
import { table } from "./table.ts";

/** A key as the tables of conf/ describe it. */
interface Key {
  readonly key: string;
  readonly expected: string;
  readonly default: string | undefined;
  readonly doc: string;
  readonly alias?: string;
}

const BUDGET_DOCS: { readonly [K in BudgetKey]: string } = {
  memory: "Memory of all daemons of the owner together",
  processes: "Processes and threads of all daemons of the owner together",
  cpu: "Processors that all daemons of the owner may keep busy together",
  daemons: "How many daemons the owner may have, in the order of discovery and of names. One more is forbidden",
  log: "Size of all logs, divided evenly among the owner's daemons that have a log",
  restarts:
    "Automatic restarts of all daemons of the owner in a minute. One more waits as coolingdown; a start by hand does not count",
};

const LIMITS_KEYS: readonly Key[] = BUDGET_KEYS.map((key) => ({
  key,
  doc: BUDGET_DOCS[key],
  expected: BUDGET_QUANTITIES[key].expected,
  default: "no limit",
}));

const WIDTH = 120;

/** Text with nothing that Markdown would take for a mark. */
const escaped = (text: string): string => text.replace(/[\\*_[\]<>|~]/g, "\\$&");

const sentence = (text: string): string => (text.endsWith(".") ? text : `${text}.`);

/** A default as it can be written in a file, or in words. */
const defaultText = (text: string): string => (text.includes(" ") ? escaped(text) : `\`${text}\``);

const description = ({ doc, alias }: Key): string =>
  escaped(sentence(doc)) + (alias === undefined ? "" : ` Also called **${alias}**.`);

/** Lines of at most WIDTH characters, the first one after `first`, the others after four blanks. */
const wrapped = (first: string, text: string): string => {
  const lines = [first];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line.length + word.length + 1 > WIDTH) lines.push(`    ${word}`);
    else lines[lines.length - 1] = line.endsWith(" ") ? line + word : `${line} ${word}`;
  }
  return lines.join("\n");
};

const manEntry = (key: Key): string => {
  const fallback = key.default === undefined ? "This key is required." : `Default: ${defaultText(key.default)}.`;
  return `**${key.key}**\n${wrapped(":   ", `${description(key)} Value: ${escaped(key.expected)}. ${fallback}`)}`;
};

const manList = (keys: readonly Key[]): string => keys.map(manEntry).join("\n\n");

const keyTable = (keys: readonly Key[]): string =>
  table(
    ["key", "value", "default", "description"],
    keys.map((key) => [
      `<a id="${key.key}"></a>\`${key.key}\``,
      escaped(key.expected),
      key.default === undefined ? "required" : defaultText(key.default),
      description(key),
    ]),
  );

/** What `npm run generate` writes. */
export const artefacts = (): readonly Artefact[] => [
  region("man/daemon.conf.5.md", "daemon-keys", manList(DAEMON_KEYS)),
  region("man/daemon-manager.conf.5.md", "settings-keys", manList(SETTINGS_KEYS)),
  region("man/daemon-manager.conf.5.md", "limits-keys", manList(LIMITS_KEYS)),
  region("docs/reference/daemon-keys.md", "daemon-keys", keyTable(DAEMON_KEYS)),
  region("docs/reference/policy-keys.md", "settings-keys", keyTable(SETTINGS_KEYS)),
  region("docs/reference/policy-keys.md", "limits-keys", keyTable(LIMITS_KEYS)),
];
