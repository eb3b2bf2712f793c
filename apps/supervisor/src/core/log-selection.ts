/**
 * Selection patterns of logs: multilog's syntax, translated to s6-log's POSIX extended regular expressions.
 * Pure text to text.
 */

/** `+` or `-`, and a pattern after it. */
export type LogPattern = string;

/** Longest pattern, in characters, and number of patterns at most: each costs time for every logged line. */
export const LONGEST_PATTERN = 200;
export const MOST_PATTERNS = 32;

const SPECIAL = /[.[\\()*+?{|^$]/g;

/** A character that may follow a star: its complement must be one byte wide. */
const isSingleByte = (character: string): boolean => character >= " " && character <= "~";

/** Whether a word is a pattern that can be translated exactly. */
export const isLogPattern = (word: string): boolean =>
  /^[+-]./s.test(word) &&
  word.length <= LONGEST_PATTERN &&
  !/\p{Cc}/u.test(word) &&
  [...word.matchAll(/\*([^*])/gu)].every(([, next = ""]) => isSingleByte(next));

/**
 * The POSIX extended regular expression equivalent to a pattern of multilog. A star matches any string
 * without the character that follows it in the pattern, which may be another star; the last star matches anything; every
 * other character matches itself, and the whole line must be matched. So matching never backtracks:
 * it takes at most the pattern's length times the line's.
 * @param pattern without its + or -
 */
export const translatePattern = (pattern: string): string => {
  const pieces = pattern.matchAll(/(\*+)(?=([^*])?)|[^*]+/gu);
  const translated = [...pieces].map(([text, stars, next]) => {
    if (stars === undefined) return text.replace(SPECIAL, "\\$&");
    // A star before a star runs up to the first star in the line, where the next one begins.
    const upToStar = stars.length > 1 ? "[^*]*\\*" : "";
    return `${upToStar}${next === undefined ? ".*" : `[^${next}]*`}`;
  });
  return `^${translated.join("")}$`;
};

/** Patterns as words of s6-log's script, in their order. */
export const selectionScript = (patterns: readonly LogPattern[]): string[] =>
  patterns.map((pattern) => `${pattern.slice(0, 1)}${translatePattern(pattern.slice(1))}`);
