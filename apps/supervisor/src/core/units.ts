/**
 * One grammar for every size, duration and count: in conf files, the policy file, options and messages. Sizes are in bytes,
 * durations in milliseconds.
 */

export const KIB = 1024;
export const MIB = 1024 ** 2;
export const GIB = 1024 ** 3;
const TIB = 1024 ** 4;

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const SIZE_UNITS = [
  ["TiB", TIB],
  ["GiB", GIB],
  ["MiB", MIB],
  ["KiB", KIB],
  ["B", 1],
] as const;

const DURATION_UNITS = [
  ["w", 7 * DAY],
  ["d", DAY],
  ["h", HOUR],
  ["m", MINUTE],
  ["s", SECOND],
  ["ms", 1],
] as const;

const MULTIPLES = new Map([
  ["", 1],
  ["K", KIB],
  ["M", MIB],
  ["G", GIB],
  ["T", TIB],
]);
const MILLISECONDS: ReadonlyMap<string, number> = new Map(DURATION_UNITS);

const SIZE = /^(\d+(?:\.\d+)?)[ \t]*(?:([KMGT])(?:iB)?|B)?$/i;
const COUNT = /^(\d+)[ \t]*([KMG])?$/i;
const BARE_DURATION = /^\d+(?:\.\d+)?$/;
const DURATION = /^\d+(?:\.\d+)?[ \t]*(?:ms|[wdhms])(?:[ \t]*\d+(?:\.\d+)?[ \t]*(?:ms|[wdhms]))*$/;
const DURATION_PART = /(\d+(?:\.\d+)?)[ \t]*(ms|[wdhms])/g;

/** Rounded; undefined where it cannot be exact or would be rounded to 0. */
const whole = (amount: number): number | undefined => {
  const rounded = Math.round(amount);
  return Number.isSafeInteger(rounded) && (rounded > 0 || amount === 0) ? rounded : undefined;
};

/**
 * Bytes of a size: a number with K, M, G or T (powers of 1024, in either case, also written KiB ...), or a whole number of
 * bytes. Rounded to whole bytes; undefined for any other text, and for less than half a byte that is not 0.
 */
export const parseSize = (text: string): number | undefined => {
  const [, digits = "", letter = ""] = SIZE.exec(text) ?? [];
  // There is no part of a byte.
  if (digits === "" || (letter === "" && digits.includes("."))) return undefined;
  return whole(Number(digits) * (MULTIPLES.get(letter.toUpperCase()) ?? Number.NaN));
};

/**
 * Milliseconds of a duration: the sum of numbers with w, d, h, m, s or ms, as in `1m30s`, or a bare number of seconds.
 * Rounded to whole milliseconds; undefined for any other text, and for less than half a millisecond that is not 0.
 */
export const parseDuration = (text: string): number | undefined => {
  if (BARE_DURATION.test(text)) return whole(Number(text) * SECOND);
  if (!DURATION.test(text)) return undefined;
  const parts = [...text.matchAll(DURATION_PART)];
  return whole(parts.reduce((sum, [, digits, unit = ""]) => sum + Number(digits) * (MILLISECONDS.get(unit) ?? 0), 0));
};

/** A whole number, or one with K, M or G (powers of 1024, in either case); undefined for any other text. */
export const parseCount = (text: string): number | undefined => {
  const [, digits, letter = ""] = COUNT.exec(text) ?? [];
  return whole(Number(digits) * (MULTIPLES.get(letter.toUpperCase()) ?? Number.NaN));
};

/** Exactly, in the largest unit that leaves a whole number: `64 MiB`, `5000 B`. Whole bytes. */
export const writeSize = (bytes: number): string => {
  const [unit, factor] = SIZE_UNITS.find(([, factor]) => bytes > 0 && bytes % factor === 0) ?? ["B", 1];
  return `${bytes / factor} ${unit}`;
};

/** To a tenth, in at most nine characters up to 999 TiB: `63.9 MiB`. */
export const roughSize = (bytes: number): string => {
  // 1000 MiB are shown as 1 GiB, so that columns stay narrow.
  const [unit, factor] = SIZE_UNITS.find(([, factor]) => bytes >= (factor * 1000) / 1024 && factor > 1) ?? ["B", 1];
  return `${Math.round((bytes / factor) * 10) / 10} ${unit}`;
};

/** Exactly, to the millisecond: `1m30s`, `250ms`, `0s`. */
export const writeDuration = (milliseconds: number): string => {
  let rest = Math.round(milliseconds);
  const parts = DURATION_UNITS.map(([unit, factor]) => {
    const amount = Math.floor(rest / factor);
    rest -= amount * factor;
    return amount === 0 ? "" : `${amount}${unit}`;
  });
  return parts.join("") || "0s";
};

/**
 * The largest unit of w d h m s and the one below it, in whole seconds: `3w3d`, `1h0m`, `59s`. A negative duration and one
 * that is no finite number are `0s`.
 */
export const roughDuration = (milliseconds: number): string => {
  const units = DURATION_UNITS.slice(0, -1);
  const rounded = Number.isFinite(milliseconds) ? milliseconds : 0;
  const largest = units.findIndex(([, factor]) => rounded >= factor);
  const [unit, next] = largest < 0 ? [] : units.slice(largest, largest + 2);
  if (unit === undefined) return "0s";
  const rest = next === undefined ? "" : `${Math.floor((rounded % unit[1]) / next[1])}${next[0]}`;
  return `${Math.floor(rounded / unit[1])}${unit[0]}${rest}`;
};

/** How the value of a key is read and written: the key tables are made of these. */
export interface Quantity {
  readonly kind: "size" | "duration" | "count" | "cores";
  readonly least: number;
  readonly most: number;
  /** Form and bounds, in words that can follow "expected". */
  readonly expected: string;
  /** Undefined where the text does not have the form or is out of bounds. */
  readonly read: (text: string) => number | undefined;
  /** A text that `read` takes for the value. */
  readonly write: (value: number) => string;
}

interface Bounds {
  readonly least?: number;
  readonly most?: number;
}

/** Numbers are exact up to it; the kernel takes more. */
const MOST = Number.MAX_SAFE_INTEGER;
/** No key needs more, and it is well below the 24.8 days that a timer of Node holds. */
const LONGEST = DAY;

/** `noun` with its bounds. Above 0 the least amount is 1: a part of a byte or of a millisecond is refused. */
const within = (noun: string, least: number, most: number | undefined, write: (value: number) => string): string => {
  const from = write(Math.max(least, 1));
  const bounds = most === undefined ? `of at least ${from}` : `from ${from} to ${write(most)}`;
  return `${least === 0 ? "0 or " : ""}${noun} ${bounds}`;
};

const bounded =
  (parse: (text: string) => number | undefined, least: number, most: number) =>
  (text: string): number | undefined => {
    const value = parse(text);
    return value !== undefined && value >= least && value <= most ? value : undefined;
  };

/** A size within bounds, in bytes. */
export const size = ({ least = 0, most }: Bounds = {}): Quantity => ({
  kind: "size",
  least,
  most: most ?? MOST,
  expected: `${within("a size", least, most, writeSize)}, such as 8M or 1.5 MiB`,
  read: bounded(parseSize, least, most ?? MOST),
  write: writeSize,
});

/** A duration within bounds, in milliseconds; at most a day by default. */
export const duration = ({ least = 0, most = LONGEST }: Bounds = {}): Quantity => ({
  kind: "duration",
  least,
  most,
  expected: `${within("a duration", least, most, writeDuration)}, such as 10s or 1m30s`,
  read: bounded(parseDuration, least, most),
  write: writeDuration,
});

/** A whole number within bounds. */
export const count = ({ least = 0, most }: Bounds = {}): Quantity => ({
  kind: "count",
  least,
  most: most ?? MOST,
  expected: most === undefined ? "a whole number, such as 1024 or 4K" : `a whole number from ${least} to ${most}`,
  read: bounded(parseCount, least, most ?? MOST),
  write: String,
});

/** A number of processors, to the hundredth. */
export const cores = ({ least = 0.01, most = 1024 }: Bounds = {}): Quantity => ({
  kind: "cores",
  least,
  most,
  expected: `a number of processors from ${least} to ${most}, such as 0.5`,
  read: bounded((text) => (/^\d{1,4}(?:\.\d{1,2})?$/.test(text) ? Number(text) : undefined), least, most),
  write: String,
});
