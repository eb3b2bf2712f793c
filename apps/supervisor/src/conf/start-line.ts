import { isBlank, trimmed } from "./lines.ts";

/** The value of a `start` line. */
export interface StartLine {
  /** One line for the shell, exactly as written, without the comment and the white space around. */
  readonly value: string;
  /** The quote that is opened and never closed, if there is one. */
  readonly openQuote: string | undefined;
}

/**
 * Reads what stands after the `=` of a `start` line (man/daemon.conf.5.md#format).
 *
 * A `#` after white space starts a comment, unless it is inside quotes as the shell sees them: single quotes end at
 * the next single quote; a backslash takes the special meaning of the next character anywhere else; `$(` inside double
 * quotes begins quoting anew until its `)`. A quote that is never closed reaches to the end of the line, so a `#` after
 * it is kept: what the shell gets, and complains of, is what the line says.
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
