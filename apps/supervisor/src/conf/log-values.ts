/** Values of the keys about logs, as texts that a file may hold. */
import { isLogPattern, type LogPattern, MOST_PATTERNS } from "../core/log-selection.ts";

const KIBI = 1024;
const UNITS = new Map([
  ["", 1],
  ["K", KIBI],
  ["M", KIBI ** 2],
  ["G", KIBI ** 3],
]);

/** The least that multilog takes, in bytes (docs/reference/logs.md). */
export const SMALLEST_LOG_FILE = 4096;
/** What s6-log can count up to, in whole M. In bytes. */
export const LARGEST_LOG_FILE = 255 * KIBI ** 2;
/** In bytes. */
export const LARGEST_LOG_TOTAL = 1024 * KIBI ** 3;

/** A number of bytes, with K, M or G for its powers of 1024; undefined where it is none, or out of bounds. */
export function readLogSize(text: string, least: number, most: number): number | undefined {
  const [, amount, unit = ""] = /^(\d{1,15})[ \t]*([KMG])?$/i.exec(text) ?? [];
  const size = Number(amount) * (UNITS.get(unit.toUpperCase()) ?? Number.NaN);
  return size >= least && size <= most ? size : undefined;
}

/** A number of bytes in the largest unit that divides it. */
export function writtenLogSize(bytes: number): string {
  const [unit = "", size = 1] = [...UNITS].reverse().find(([, each]) => bytes % each === 0) ?? [];
  return `${bytes / size}${unit}`;
}

/** Selection patterns: words apart by blanks, in quotes of either kind where they hold blanks themselves. */
export function readPatterns(text: string): readonly LogPattern[] | undefined {
  const words = [...text.matchAll(/(?:'([^']*)'|"([^"]*)"|([^\s'"]\S*))(?=\s|$)|\S/g)];
  const patterns = words.map(([whole, single, double, bare]) => single ?? double ?? bare ?? whole);
  const sound = patterns.length > 0 && patterns.length <= MOST_PATTERNS && patterns.every(isLogPattern);
  return sound ? patterns : undefined;
}

/** Patterns as readPatterns takes them. */
export function writtenPatterns(patterns: readonly LogPattern[]): string {
  return patterns
    .map((pattern) => {
      if (!/\s/.test(pattern)) return pattern;
      return pattern.includes("'") ? `"${pattern}"` : `'${pattern}'`;
    })
    .join(" ");
}
