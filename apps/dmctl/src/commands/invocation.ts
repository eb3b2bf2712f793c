/** A command line as a value: which command, on which daemons, how. Knows nothing of what the commands do. */
import { parseArgs } from "node:util";
import { misuse } from "../failure.ts";
import { isSignalFlag, signalNamed } from "./signal-word.ts";

interface OptionShape {
  readonly type: "boolean" | "string";
  readonly short?: string;
  readonly says: string;
}

/** Every option that some command has, by its long name. */
export const OPTIONS = {
  json: { type: "boolean", says: "print JSON" },
  long: { type: "boolean", short: "l", says: "tell the reason of every state" },
  lines: { type: "string", short: "n", says: "begin with the last N lines" },
  follow: { type: "boolean", short: "f", says: "go on showing what comes" },
  raw: { type: "boolean", says: "byte for byte: nothing converted or escaped" },
  utc: { type: "boolean", says: "times in UTC" },
  tai64n: { type: "boolean", says: "stamps as they are in the log" },
  all: { type: "boolean", says: "begin with the oldest rotated file" },
  since: { type: "string", says: "begin TIME ago, as in 1h30m, or at a time, as in 2026-11-21T10:00" },
  grep: { type: "string", says: "only lines whose text the regular expression REGEX matches" },
  policy: {
    type: "boolean",
    says: "then CALLER VERB OWNER/NAME in place of ID: may they, by which line? exit code 0 is yes",
  },
  help: { type: "boolean", short: "h", says: "explain dmctl or the command" },
  version: { type: "boolean", short: "V", says: "print dmctl's version" },
} as const satisfies Record<string, OptionShape>;

/** What options that take a value call it in help. */
export const VALUE_NAMES: Readonly<Record<string, string>> = { lines: "N", since: "TIME", grep: "REGEX" };

export type OptionName = keyof typeof OPTIONS;

/** What a command takes beside its options. */
export interface Shape {
  readonly verb: string;
  readonly aliases?: readonly string[];
  /**
   * How many daemons it is about; `command` is none, but perhaps the name of a command, and `question` one, or with
   * --policy a caller, a verb and an address; `sized` is one, and a number.
   */
  readonly ids: "none" | "optional" | "one" | "many" | "command" | "question" | "sized";
  /** The signal that it sends where none is named, if it takes one. */
  readonly signal?: string;
  readonly options: readonly OptionName[];
}

/** A well-formed command line. */
export interface Invocation<S extends Shape> {
  readonly command: S;
  readonly ids: readonly string[];
  /** One of the contract's SIGNALS; "" for a command that takes none. */
  readonly signal: string;
  readonly lines: number | undefined;
  /** As written; undefined where not given. */
  readonly since: string | undefined;
  readonly grep: string | undefined;
  /** The number of a `sized` command, 0 for others. */
  readonly size: number;
  readonly given: ReadonlySet<OptionName>;
}

const parsed = (words: readonly string[]) => {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw misuse(error instanceof Error ? error.message.replace(/\. To specify.*/s, "") : String(error));
  }
};

/** Takes the one signal out of the words of a command that sends one, else `otherwise`; the rest are ids. */
const withSignal = (verb: string, otherwise: string, flags: readonly string[], words: readonly string[]) => {
  const usage = `as in "dmctl wordpress ${verb} -HUP"`;
  const plain = flags.length > 0 ? [] : words.filter((word) => signalNamed(word) !== undefined || /^-?\d+$/.test(word));
  const spelt = [...flags, ...plain];
  if (spelt.length > 1) throw misuse(`"${verb}" takes one signal, not ${spelt.join(" and ")}; write it ${usage}`);
  const [word] = spelt;
  if (word === undefined) {
    if (words.length > 1) throw misuse(`"${words[1]}" is no signal; write it ${usage}`);
    return { signal: otherwise, ids: words };
  }
  const signal = signalNamed(word);
  if (signal === undefined) throw misuse(`"${word}" is no signal that can be sent; write it ${usage}`);
  return { signal, ids: words.filter((id) => id !== plain[0]) };
};

/** Takes the number out of the words of a command that needs one: the last that is one, for a name can be one, too. */
const withSize = (verb: string, words: readonly string[]) => {
  const at = words.findLastIndex((word) => /^\d+$/.test(word));
  if (words.length < 2 || at < 0)
    throw misuse(`"${verb}" needs a daemon's name and a number, as in "dmctl ${verb} wordpress 2"`);
  return { signal: "", ids: words.filter((_, index) => index !== at), size: Number(words[at]) };
};

const checkCount = (shape: Shape, ids: readonly string[], given: ReadonlySet<OptionName>): void => {
  if (shape.ids === "question" && given.has("policy")) {
    if (ids.length === 3 && !ids.includes("")) return;
    throw misuse(
      `"${shape.verb} --policy" needs three words, as in "dmctl ${shape.verb} --policy david restart amy/blog"`,
    );
  }
  const [least, most] = {
    none: [0, 0],
    optional: [0, 1],
    one: [1, 1],
    many: [1, Number.POSITIVE_INFINITY],
    command: [0, 1],
    question: [1, 1],
    sized: [1, 1],
  }[shape.ids];
  if (ids.includes("")) throw misuse("a daemon's name cannot be empty");
  if (ids.length < (least ?? 0))
    throw misuse(`"${shape.verb}" needs the name of a daemon, as in "dmctl ${shape.verb} wordpress"`);
  if (ids.length > (most ?? 0)) {
    const what = shape.ids === "none" ? "no daemon's name" : "one daemon's name";
    throw misuse(`"${shape.verb}" takes ${what}, but there is also "${ids[most ?? 0]}"`);
  }
};

const lineCount = (text: string | undefined): number | undefined => {
  if (text !== undefined && !/^\d{1,9}$/.test(text)) throw misuse(`--lines takes a number, not "${text}"`);
  return text === undefined ? undefined : Number(text);
};

/**
 * Reads a command line. The first word that is a command's name is the command, wherever it stands, so a daemon called
 * `restart` is addressed after the command or as `owner/restart`. No words at all are the first of `commands`.
 * Throws a Failure with exit code 2.
 */
export const readInvocation = <S extends Shape>(commands: readonly S[], words: readonly string[]): Invocation<S> => {
  const end = words.indexOf("--");
  const isFlag = (word: string, index: number): boolean => (end < 0 || index < end) && isSignalFlag(word);
  const flags = words.filter(isFlag);
  const { values, positionals } = parsed(words.filter((word, index) => !isFlag(word, index)));
  const given = new Set((Object.keys(values) as OptionName[]).filter((name) => values[name] !== undefined));
  const named = (word: string | undefined): S | undefined =>
    commands.find((command) => command.verb === word || command.aliases?.includes(word ?? ""));

  const at = positionals.findIndex((word) => named(word) !== undefined);
  const command = positionals.length === 0 ? commands[0] : named(positionals[at]);
  const instead = named(given.has("help") ? "help" : given.has("version") ? "version" : undefined);
  if (instead !== undefined) {
    const about = at < 0 || command === undefined ? [] : [command.verb];
    const none = { lines: undefined, since: undefined, grep: undefined };
    return { command: instead, ids: about, signal: "", size: 0, ...none, given };
  }
  if (command === undefined) throw misuse(`there is no command in "dmctl ${positionals.join(" ")}"`);

  const foreign = [...given].find((name) => !command.options.includes(name));
  if (foreign !== undefined) throw misuse(`"${command.verb}" has no option --${foreign}`);
  if (!command.signal && flags[0] !== undefined) throw misuse(`"${command.verb}" takes no signal "${flags[0]}"`);
  const rest = positionals.filter((_, index) => index !== at);
  const taken =
    command.signal !== undefined
      ? withSignal(command.verb, command.signal, flags, rest)
      : command.ids === "sized"
        ? withSize(command.verb, rest)
        : { signal: "", ids: rest };
  checkCount(command, taken.ids, given);
  const { since, grep } = values;
  return { command, size: 0, ...taken, lines: lineCount(values.lines), since, grep, given };
};
