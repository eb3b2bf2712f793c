/** Parses a command line, independently of what the commands do. */
import { parseArgs } from "node:util";
import { Failure } from "@dmhost/client";
import { MOST_INSTANCES } from "@dmhost/contract";
import { nearest, nearMatch } from "@dmhost/supervisor/suggestion";
import { count, parseCount } from "@dmhost/supervisor/units";
import { misuse, SEE_HELP, unknownWord } from "../failure.ts";
import { type Command, type Invocation, operandShape } from "./command.ts";
import { OPTION_NAMES, OPTIONS, type OptionName, optionShape } from "./options.ts";
import { isSignalFlag, nearSignal, signalNamed } from "./signal-word.ts";

/** The signal of a `signal` command that names none. */
const DEFAULT_SIGNAL = "KILL";

const flag = (name: OptionName): string => `--${name}`;

const isOption = (name: string): name is OptionName => Object.hasOwn(OPTIONS, name);

/** An option that is there, but not for this command. */
const foreignOption = ({ name, always = {} }: Command, option: OptionName): Failure => {
  const reason = always[option] === undefined ? "" : `: it always ${always[option]}`;
  return misuse(`"${name}" has no option --${option}${reason}`);
};

/** @param command whose options are meant; undefined if the command line names none */
const unknownOption = (written: string, command: Command | undefined): Failure => {
  const near = nearest(
    written,
    Object.keys(command?.always ?? {}).map((name) => `--${name}`),
  )?.slice(2);
  if (command !== undefined && near !== undefined && isOption(near)) return foreignOption(command, near);
  return unknownWord("option", written, [...(command?.options ?? OPTION_NAMES), "help" as const].map(flag));
};

/** Separates options from other words. */
const parsed = (words: readonly string[], command: Command | undefined) => {
  const { values, positionals, tokens } = parseArgs({
    args: [...words],
    options: OPTIONS,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    if (!isOption(name)) throw unknownOption(rawName, command);
    const { type, value: kind } = optionShape(name);
    if (type === "boolean" && value !== undefined) throw misuse(`option "${rawName}" takes no value`);
    if (type === "boolean") continue;
    if (value === undefined) throw misuse(`option "${rawName}" needs a value: --${name} ${kind}`);
    if (!inlineValue && value.length > 1 && value.startsWith("-"))
      throw misuse(`option "${rawName}" needs a value; if "${value}" is the value, write --${name}=${value}`);
  }
  return { values, positionals };
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
const meantCommand = (
  words: readonly string[],
  names: readonly string[],
): { readonly word: string; readonly name: string } | undefined => {
  const [first, ...others] = words.map((word) => {
    const near = nearMatch(
      word,
      names.filter((name) => name.length >= LONG_NAME || name[0] === word[0]),
    );
    return near === undefined ? [] : [{ word, ...near }];
  });
  const [best] = [...others, first ?? []].flat().sort((one, other) => one.distance - other.distance);
  if (best === undefined) return undefined;
  const unlikely = best.distance > 1 || best.name.length < LONG_NAME;
  return words.length === 1 && unlikely ? undefined : best;
};

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
  const end = words.indexOf("--");
  const isFlag = (word: string, index: number): boolean => (end < 0 || index < end) && isSignalFlag(word);
  const flags = words.filter(isFlag);
  const { values, positionals } = parsed(
    words.filter((word, index) => !isFlag(word, index)),
    words.map(named).find((command) => command !== undefined),
  );
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
    const meant = meantCommand(positionals, names);
    if (meant !== undefined) throw misuse(`unknown command "${meant.word}": did you mean "${meant.name}"?`);
    const what = positionals.length > 1 ? "no command in" : "unknown command";
    const line = positionals.length > 1 ? `dmctl ${positionals.join(" ")}` : positionals[0];
    throw new Failure("usage", `${what} "${line}": ${SEE_HELP}`);
  }

  const foreign = [...given].find((name) => !command.options.includes(name));
  if (foreign !== undefined) throw foreignOption(command, foreign);
  const taken = takenBy(
    command,
    flags,
    positionals.filter((_, index) => index !== at),
  );
  checkCount(command, taken.ids, given);
  const written = Object.entries(values).filter(([, value]) => typeof value === "string");
  return { ...none, command, ...taken, values: Object.fromEntries(written) };
};
