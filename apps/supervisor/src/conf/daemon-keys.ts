import { DEFAULTS, type Definition } from "../core/definition.ts";
import { LONGEST_PATTERN, MOST_PATTERNS } from "../core/log-selection.ts";
import { LARGEST_LOG_FILE, LARGEST_LOG_TOTAL, readPatterns, readSize, SMALLEST_LOG_FILE } from "./log-values.ts";

/** A key of a daemon's file, as man pages, completion and `explain` need to know it. */
export interface DaemonKey {
  /** As it is written before the `=`. */
  readonly key: string;
  /** What its value must be, in words that can follow "expected". */
  readonly expected: string;
  /** The default, as written in a file or in words; undefined where the key must be given. */
  readonly default: string | undefined;
  /** What it is for, in one line. */
  readonly doc: string;
}

/** The parts of a definition that a key sets; `environment` is filled by `export` lines. */
export type Field = Exclude<keyof Definition, "environment">;

/** A definition under construction. */
export type Draft = { -readonly [F in keyof Definition]: Definition[F] };

interface FieldKey<F extends Field> extends DaemonKey {
  /** The value that a text stands for; undefined where it is not as `expected` says. */
  readonly read: (text: string) => NonNullable<Definition[F]> | undefined;
}

/** Longest duration that can be set, in milliseconds: below what a timer can hold. */
const LONGEST = 24 * 3_600_000;
const MILLISECONDS = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
]);
const TRUTH = new Map(["yes", "true", "1", "on"].map((word) => [word, true]));
for (const word of ["no", "false", "0", "off"]) TRUTH.set(word, false);

const DURATION = "a number of seconds, or one with ms, s, m or h after it, of at most 24h";
const ACCOUNT = "the name of an account, which begins with a letter or _ and is no number";

/** An account's name as `user=` takes it: never a uid, and nothing that getpwnam and a shell could read differently. */
const ACCOUNT_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/;

/** Every key but `export`, by the field that it sets; the order is that of the documentation. */
const FIELD_KEYS: { readonly [F in Field]: FieldKey<F> } = {
  start: {
    key: "start",
    expected: "a command: one line of shell",
    default: undefined,
    doc: "The command, one line of shell. Everything after the = belongs to it, up to a # that follows white space outside quotes.",
    read: (text) => text || undefined,
  },
  dir: {
    key: "dir",
    expected: 'an absolute path, or one that begins with "~/"',
    default: DEFAULTS.dir,
    doc: "Working directory. ~/ is the owner's home.",
    read: (text) => (text.startsWith("/") || text.startsWith("~/") ? text : undefined),
  },
  user: {
    key: "user",
    expected: ACCOUNT,
    default: "the owner",
    doc: "Account to run as. [runs_as] of the policy must grant it.",
    read: (text) => (ACCOUNT_NAME.test(text) ? text : undefined),
  },
  output: {
    key: "output",
    expected: "log or discard",
    default: DEFAULTS.output,
    doc: "Where standard output and standard error go: to a rotated log, or nowhere.",
    read: (text) => (text === "log" || text === "discard" ? text : undefined),
  },
  autostart: {
    key: "autostart",
    expected: "yes or no (or true, false, on, off, 1, 0)",
    default: "yes",
    doc: "Whether it is started as soon as its file is found.",
    read: (text) => TRUTH.get(text),
  },
  shell: {
    key: "shell",
    expected: "the absolute path of a shell",
    default: DEFAULTS.shell,
    doc: "The program that reads start; it is called with -c.",
    read: (text) => (text.startsWith("/") ? text : undefined),
  },
  listen: {
    key: "listen",
    expected: "none or fastcgi",
    default: DEFAULTS.listen,
    doc: "fastcgi: it gets a listening FastCGI socket as standard input, and the socket is published to the web server.",
    read: (text) => (text === "none" || text === "fastcgi" ? text : undefined),
  },
  stopTimeout: {
    key: "stop-timeout",
    expected: DURATION,
    default: "10s",
    doc: "How long a stop waits after TERM before it sends KILL.",
    read: readDuration,
  },
  healthyAfter: {
    key: "healthy-after",
    expected: DURATION,
    default: "10s",
    doc: "A run that lasted this long has not failed, however it ends.",
    read: readDuration,
  },
  maxRetries: {
    key: "max-retries",
    expected: "a whole number from 0 to 1000000",
    default: "no limit",
    doc: "How often in a row a failed run is followed by another try before the daemon is given up as failed.",
    read: (text) => (/^\d{1,7}$/.test(text) && Number(text) <= 1_000_000 ? Number(text) : undefined),
  },

  logSize: {
    key: "log-size",
    expected: "a number of bytes, or one with K, M or G after it, from 4096 to 255M",
    default: "1M",
    doc: "Size at which the log's current file is rotated.",
    read: (text) => readSize(text, SMALLEST_LOG_FILE, LARGEST_LOG_FILE),
  },
  logFiles: {
    key: "log-files",
    expected: "a whole number from 1 to 10000",
    default: "10",
    doc: "How many rotated files of the log are kept, besides the current one.",
    read: (text) => (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= 10_000 ? Number(text) : undefined),
  },
  logTotal: {
    key: "log-total",
    expected: "a number of bytes, or one with K, M or G after it, from 4096 to 1024G",
    default: "no limit",
    doc: "Size that the log's rotated files may have together; the oldest give way.",
    read: (text) => readSize(text, SMALLEST_LOG_FILE, LARGEST_LOG_TOTAL),
  },
  logCompress: {
    key: "log-compress",
    expected: "yes or no (or true, false, on, off, 1, 0)",
    default: "no",
    doc: "Whether rotated files of the log are compressed by gzip; dmctl log reads them all the same.",
    read: (text) => TRUTH.get(text),
  },
  logSelect: {
    key: "log-select",
    expected: `at most ${MOST_PATTERNS} patterns such as "-* +*fatal:*", each of at most ${LONGEST_PATTERN} characters, with + or - before it, quoted where it has blanks, and with an ASCII character after a *`,
    default: "every line",
    doc: "Which lines are logged: each line is, until a - pattern that matches it says no, or a later + pattern yes again.",
    read: readPatterns,
  },
};

/** `export NAME = value`, which may be repeated for different names. */
export const EXPORT_KEY: DaemonKey = {
  key: "export",
  expected: '"export NAME = value", with a NAME of letters, digits and _ that does not begin with a digit',
  default: "no line: only HOME, LOGNAME, USER, SHELL and PATH are set",
  doc: "export NAME = value puts a variable into the environment. The value is literal, quotes included.",
};

/** Every key of a daemon's file: the table by which parseDaemonFile reads. */
export const DAEMON_KEYS: readonly DaemonKey[] = [...Object.values(FIELD_KEYS), EXPORT_KEY];

const FIELDS = new Map(Object.entries(FIELD_KEYS).map(([field, { key }]) => [key, field as Field]));

/** The field that a key sets; undefined for an unknown key and for `export`. */
export const fieldOf = (key: string): Field | undefined => FIELDS.get(key);

/**
 * Puts the value that `text` stands for into the draft. Returns what was expected instead where it is not of the right
 * form, and undefined when all is well.
 */
export function setField<F extends Field>(draft: Draft, field: F, text: string): string | undefined {
  const entry: FieldKey<F> = FIELD_KEYS[field];
  const value = entry.read(text);
  if (value === undefined) return entry.expected;
  draft[field] = value;
  return undefined;
}

/** A duration in milliseconds, rounded to whole ones. */
function readDuration(text: string): number | undefined {
  const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?)[ \t]*(ms|s|m|h)?$/.exec(text) ?? [];
  const duration = Math.round(Number(amount) * (MILLISECONDS.get(unit) ?? Number.NaN));
  return duration <= LONGEST ? duration : undefined;
}
