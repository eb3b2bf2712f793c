/** Forms that values of conf keys have: how each is read, written and described. core/units.ts has those of numbers. */
import { isLogPattern, LONGEST_PATTERN, type LogPattern, MOST_PATTERNS } from "../core/log-selection.ts";
import { type Amount, type Limit, type LimitField, RESOURCES } from "../core/rlimits.ts";
import { sitePath } from "../core/site.ts";
import { trimmed } from "./lines.ts";

/** A form of values. */
export interface Form<T> {
  /** In words that can follow "expected". */
  readonly expected: string;
  /** Undefined where the text does not have the form. */
  readonly read: (text: string) => T | undefined;
  /** A text that `read` takes for the value. */
  readonly write: (value: T) => string;
}

const text = (expected: string, isValid: (text: string) => boolean): Form<string> => ({
  expected,
  read: (value) => (isValid(value) ? value : undefined),
  write: String,
});

/** Reads and writes one of these words. */
export const oneOf = <T extends string>(...words: readonly T[]): Form<T> => ({
  expected: `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`,
  read: (value) => words.find((word) => word === value),
  write: String,
});

const TRUTH = new Map(["yes", "true", "1", "on"].map((word) => [word, true]));
for (const word of ["no", "false", "0", "off"]) TRUTH.set(word, false);

/** A truth value. */
export const FLAG: Form<boolean> = {
  expected: "yes or no (or true, false, on, off, 1, 0)",
  read: (value) => TRUTH.get(value),
  write: (value) => (value ? "yes" : "no"),
};

/** A command line for the shell, unchanged. */
export const COMMAND = text("a command: one line of shell", (value) => value !== "");

/** Path of a shell. */
export const SHELL = text("the absolute path of a shell", (value) => value.startsWith("/"));

/** A path that may begin with the owner's home. */
export const PATH = text('an absolute path, "~", or one that begins with "~/"', (value) =>
  /^(?:\/|~(?:\/|$))/.test(value),
);

/** A path as PATH that Nginx can serve. */
export const SITE_PATH = text(
  'an absolute path, "~", or one that begins with "~/", of at most 512 characters without "..", "$" and control characters',
  (value) => value.length <= 512 && sitePath(value.replace(/^~(?=\/|$)/, "/")) !== undefined,
);

/** Name of an account: never a uid, and no name that getpwnam and a shell could read differently. */
export const ACCOUNT = text("the name of an account, which begins with a letter or _ and is no number", (value) =>
  /^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/.test(value),
);

/** The permission bits that umask(2) takes off. */
export const UMASK: Form<number> = {
  expected: "an octal number from 0 to 777",
  read: (value) => (/^0?[0-7]{1,3}$/.test(value) ? Number.parseInt(value, 8) : undefined),
  write: (bits) => bits.toString(8).padStart(3, "0"),
};

/** A nice value, as setpriority(2) takes it. */
export const NICE: Form<number> = {
  expected: "a whole number from 0 to 19 (from -20 for root's own daemons)",
  read: (value) => (/^(?:-20|-?1?\d)$/.test(value) ? Number(value) : undefined),
  write: String,
};

/**
 * A list with commas; an entry that is repeated counts once.
 * @param entries what they are, in words
 */
export const list = <T>(most: number, entries: string, read: (entry: string) => T | undefined): Form<readonly T[]> => ({
  expected: `at most ${most} ${entries}, separated by commas`,
  read: (value) => {
    const parts = value.split(",");
    if (parts.length > most) return undefined;
    const values = parts.map((part) => read(trimmed(part)));
    return values.every((each) => each !== undefined) ? [...new Set(values)] : undefined;
  },
  write: (values) => (values.length === 0 ? "none" : values.join(", ")),
});

/** Selection patterns of a log: words separated by blanks, in quotes of either kind where they contain blanks. */
export const PATTERNS: Form<readonly LogPattern[]> = {
  expected: `at most ${MOST_PATTERNS} patterns such as "-* +*fatal:*", each of at most ${LONGEST_PATTERN} characters, with + or - before it, quoted where it has blanks, and with an ASCII character after a *`,
  read: (value) => {
    const words = [...value.matchAll(/(?:'([^']*)'|"([^"]*)"|([^\s'"]\S*))(?=\s|$)|\S/g)];
    const patterns = words.map(([whole, single, double, bare]) => single ?? double ?? bare ?? whole);
    const sound = patterns.length > 0 && patterns.length <= MOST_PATTERNS && patterns.every(isLogPattern);
    return sound ? patterns : undefined;
  },
  write: (patterns) =>
    patterns
      .map((pattern) => {
        if (!/\s/.test(pattern)) return pattern;
        return pattern.includes("'") ? `"${pattern}"` : `'${pattern}'`;
      })
      .join(" "),
};

const atMost = (soft: Amount, hard: Amount): boolean => hard === "unlimited" || (soft !== "unlimited" && soft <= hard);

/** A limit of a resource: an amount or `unlimited` for both the soft and the hard limit, or `SOFT:HARD`. */
export const limit = (field: LimitField): Form<Limit> => {
  const { expected, read, write } = RESOURCES[field].quantity;
  const amount = (value: string): Amount | undefined => (value === "unlimited" ? value : read(value));
  const written = (value: Amount): string => (value === "unlimited" ? value : write(value));
  return {
    expected: `${expected}, or unlimited, or SOFT:HARD of these with SOFT not above HARD`,
    read: (value) => {
      const [softText = "", hardText = softText, more] = value.split(":").map(trimmed);
      const soft = amount(softText);
      const hard = amount(hardText);
      if (soft === undefined || hard === undefined || more !== undefined || !atMost(soft, hard)) return undefined;
      return { soft, hard };
    },
    write: ({ soft, hard }) => (soft === hard ? written(soft) : `${written(soft)}:${written(hard)}`),
  };
};
