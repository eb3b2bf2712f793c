import { isBlank, trimmed } from "./lines.ts";

/** The value of a `start` line. */
interface StartLine {
  /** The command exactly as written, without the comment and the white space around it. */
  readonly value: string;
  /** A quote that is never closed. */
  readonly openQuote: string | undefined;
}

/**
 * Reads the text after the `=` of a `start` line (man/daemon.conf.5.md#format).
 *
 * A `#` after white space starts a comment, except inside quotes by the rules of the shell: single quotes end at the next
 * single quote; elsewhere a backslash escapes the next character; `$(` inside double quotes starts a new level of quoting
 * until its `)`. A quote that is never closed extends to the end of the line, so a `#` after it is kept: the shell reports
 * the line as it was written.
 */
export function readStart(raw: string): StartLine {
  const awaited: string[] = [];
  let quotes = 0;
  let afterBlank = false;
  for (let i = 0; i < raw.length; i += 1) {
    const c = raw[i];
    const closer = awaited.at(-1);
    if (c === "#" && afterBlank && quotes === 0) return { value: trimmed(raw.slice(0, i)), openQuote: undefined };
    afterBlank = isBlank(c);
    if (c === closer) {
      awaited.pop();
      if (isQuote(c)) quotes -= 1;
    } else if (closer === "'") {
    } else if (c === "\\") {
      i += 1;
    } else if (c === '"' || (c === "'" && closer !== '"')) {
      awaited.push(c);
      quotes += 1;
    } else if (c === "$" && raw[i + 1] === "(") {
      awaited.push(")");
      i += 1;
    } else if (c === "(" && closer === ")") {
      awaited.push(")");
    }
  }
  return { value: trimmed(raw), openQuote: awaited.find(isQuote) };
}

const isQuote = (character: string | undefined): boolean => character === "'" || character === '"';
