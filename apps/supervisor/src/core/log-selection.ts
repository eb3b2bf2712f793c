/**
 * Selection patterns of logs: written as multilog's, obeyed by s6-log, which takes POSIX extended regular expressions.
 * Pure text to text.
 */

/** `+` or `-`, and a pattern after it. */
export type LogPattern = string;

/** Longest pattern, in characters, and most of them in one file: each costs something for every line that is logged. */
export const LONGEST_PATTERN = 200;
export const MOST_PATTERNS = 32;

const SPECIAL = /[.[\\()*+?{|^$]/g;

/** A character that can stand behind a star: its complement must be one byte wide. */
const isSingleByte = (character: string): boolean => character >= " " && character <= "~";

/** Whether a word is a pattern that can be obeyed exactly. */
export const isLogPattern = (word: string): boolean =>
  /^[+-]./s.test(word) &&
  word.length <= LONGEST_PATTERN &&
  !/\p{Cc}/u.test(word) &&
  [...word.matchAll(/\*([^*])/gu)].every(([, next = ""]) => isSingleByte(next));

/**
 * The POSIX extended regular expression that matches what a pattern of multilog's matches. A star matches any string
 * without the character that follows it in the pattern, which may be another star; the last star matches anything; every
 * other character matches itself, and the whole line must be matched. So nothing has to be tried twice, and no pattern
 * takes longer than its length times the line's.
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
