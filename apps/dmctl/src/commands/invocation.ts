/** Parses a command line, independently of what the commands do. */
import { parseArgs } from "node:util";
import { MOST_INSTANCES } from "@dmhost/contract";
import { nearMatch, suggestion } from "@dmhost/supervisor/suggestion";
import { count, parseCount } from "@dmhost/supervisor/units";
import { misuse } from "../failure.ts";
import { type Command, type Invocation, operandShape } from "./command.ts";
import { OPTION_NAMES, OPTIONS, type OptionName } from "./options.ts";
import { isSignalFlag, nearSignal, signalNamed } from "./signal-word.ts";

/** The signal of a `signal` command that names none. */
const DEFAULT_SIGNAL = "KILL";

/** Words that name no option that there is, before the first `--`. */
const unknownOption = (words: readonly string[]): string | undefined => {
  const end = words.indexOf("--");
  const options = words.slice(0, end < 0 ? undefined : end).filter((word) => word.startsWith("--"));
  return options.map((word) => word.replace(/=.*/s, "")).find((word) => !Object.hasOwn(OPTIONS, word.slice(2)));
};

const parsed = (words: readonly string[]) => {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw misuse(error instanceof Error ? error.message.replace(/\. To specify.*/s, "") : String(error));
  }
};

const signalHint = (word: string, usage: string): string => {
  const near = nearSignal(word);
  return near === undefined ? `write it ${usage}` : `did you mean "${near}"?`;
};

/** Takes the one signal out of the words of a command that sends one; the rest are ids. */
const withSignal = (name: string, flags: readonly string[], words: readonly string[]) => {
  const usage = `as in "dmctl wordpress ${name} -HUP"`;
  const plain = flags.length > 0 ? [] : words.filter((word) => signalNamed(word) !== undefined || /^-?\d+$/.test(word));
  const spelt = [...flags, ...plain];
  if (spelt.length > 1) throw misuse(`"${name}" takes one signal, not ${spelt.join(" and ")}; write it ${usage}`);
  const [word] = spelt;
  if (word === undefined) {
    const [, second] = words;
    if (second !== undefined) {
      const misspelt = words.findLast((other) => nearSignal(other) !== undefined) ?? second;
      throw misuse(`"${misspelt}" is no signal; ${signalHint(misspelt, usage)}`);
    }
    return { signal: DEFAULT_SIGNAL, ids: words };
  }
  const signal = signalNamed(word);
  if (signal === undefined) throw misuse(`"${word}" is no signal that can be sent; ${signalHint(word, usage)}`);
  return { signal, ids: words.filter((id) => id !== plain[0]) };
};

const INSTANCES = count({ least: 1, most: MOST_INSTANCES });

/** Takes the number out of the words of a command that needs one: the last that is one, as a name can be a number. */
const withSize = (name: string, words: readonly string[]) => {
  const at = words.findLastIndex((word) => parseCount(word) !== undefined);
  const word = words[at];
  if (words.length < 2 || word === undefined)
    throw misuse(`"${name}" needs a daemon's name and ${INSTANCES.expected}, as in "dmctl ${name} wordpress 2"`);
  const size = INSTANCES.read(word);
  if (size === undefined) throw misuse(`"${name}": expected ${INSTANCES.expected}, found "${word}"`);
  return { ids: words.filter((_, index) => index !== at), size };
};

const checkCount = ({ name, takes }: Command, ids: readonly string[], given: ReadonlySet<OptionName>): void => {
  if (takes === "question" && given.has("policy")) {
    if (ids.length === 3 && !ids.includes("")) return;
    throw misuse(`"${name} --policy" needs three words, as in "dmctl ${name} --policy david restart amy/blog"`);
  }
  const { least, most } = operandShape(takes);
  if (ids.includes("")) throw misuse("a daemon's name cannot be empty");
  if (ids.length < least) throw misuse(`"${name}" needs the name of a daemon, as in "dmctl ${name} wordpress"`);
  if (ids.length > most) {
    const what = most === 0 ? "no daemon's name" : "one daemon's name";
    throw misuse(`"${name}" takes ${what}, but there is also "${ids[most]}"`);
  }
};

/** A name with fewer letters is near to too many names of daemons, as `log` is to `blog`. */
const LONG_NAME = 5;

/**
 * The command that one of `words`, none of which is a command, probably misspells: the nearest over all words. With a tie
 * the word in first place is taken last, as it may be a daemon's name; so may a word that stands alone.
 */
const meantCommand = (words: readonly string[], names: readonly string[]): string | undefined => {
  const [first, ...others] = words.map((word) => {
    const near = nearMatch(
      word,
      names.filter((name) => name.length >= LONG_NAME || name[0] === word[0]),
    );
    return near === undefined ? [] : [near];
  });
  const [best] = [...others, first ?? []].flat().sort((one, other) => one.distance - other.distance);
  if (best === undefined) return undefined;
  const unlikely = best.distance > 1 || best.name.length < LONG_NAME;
  return words.length === 1 && unlikely ? undefined : best.name;
};

const flag = (name: OptionName): string => `--${name}`;

const takenBy = (command: Command, flags: readonly string[], words: readonly string[]) => {
  if (command.takes === "signal") return withSignal(command.name, flags, words);
  if (flags[0] !== undefined) throw misuse(`"${command.name}" takes no signal "${flags[0]}"`);
  return command.takes === "sized" ? withSize(command.name, words) : { ids: words };
};

/**
 * Reads a command line. The first word that is a command's name is the command, wherever it stands, so a daemon called
 * `restart` is addressed after the command or as `owner/restart`. No words at all are the first of `commands`.
 * Throws a Failure (usage).
 */
export const readInvocation = (commands: readonly Command[], words: readonly string[]): Invocation => {
  const named = (word: string | undefined): Command | undefined =>
    commands.find(({ name, aliases }) => name === word || aliases?.includes(word ?? ""));
  const unknown = unknownOption(words);
  if (unknown !== undefined) {
    const options = words.map(named).find((command) => command !== undefined)?.options ?? OPTION_NAMES;
    throw misuse(`unknown option "${unknown}": ${suggestion(unknown, [...options, "help" as const].map(flag))}`);
  }
  const end = words.indexOf("--");
  const isFlag = (word: string, index: number): boolean => (end < 0 || index < end) && isSignalFlag(word);
  const flags = words.filter(isFlag);
  const { values, positionals } = parsed(words.filter((word, index) => !isFlag(word, index)));
  const given = new Set(OPTION_NAMES.filter((name) => values[name] !== undefined));

  const at = positionals.findIndex((word) => named(word) !== undefined);
  const command = positionals.length === 0 ? commands[0] : named(positionals[at]);
  const instead = named(given.has("help") ? "help" : given.has("version") ? "version" : undefined);
  const none = { signal: "", size: 0, values: {}, given };
  if (instead !== undefined) {
    return { ...none, command: instead, ids: at < 0 || command === undefined ? [] : [command.name] };
  }
  if (command === undefined) {
    const names = commands.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
    const near = meantCommand(positionals, names);
    const meant = near === undefined ? "" : `; did you mean "${near}"?`;
    throw misuse(`there is no command in "dmctl ${positionals.join(" ")}"${meant}`);
  }

  const foreign = [...given].find((name) => !command.options.includes(name));
  if (foreign !== undefined) throw misuse(`"${command.name}" has no option --${foreign}`);
  const taken = takenBy(
    command,
    flags,
    positionals.filter((_, index) => index !== at),
  );
  checkCount(command, taken.ids, given);
  const written = Object.entries(values).filter(([, value]) => typeof value === "string");
  return { ...none, command, ...taken, values: Object.fromEntries(written) };
};
