import { byteLength } from "../core/byte-length.ts";
import { writeSize } from "../core/units.ts";
import type { FileProblems } from "./file-problems.ts";

/** A line of a file, without its line end. */
export interface Line {
  /** 1 is the first line. */
  readonly number: number;
  readonly text: string;
}

/**
 * Splits a file into lines. A byte order mark at the start and the CR of a CRLF belong to no line. Returns undefined, with an
 * error in `problems`, where the text is longer than `maxBytes` (as UTF-8) or has a NUL or a CR within a line: then none of
 * its lines can be trusted.
 */
export function readLines(text: string, maxBytes: number, problems: FileProblems): readonly Line[] | undefined {
  const bytes = byteLength(text);
  if (bytes > maxBytes) {
    problems.error(0, `the file has ${writeSize(bytes)}: expected at most ${writeSize(maxBytes)}`);
    return undefined;
  }
  let sound = true;
  const lines: Line[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, "")
    .split("\n")
    .entries()) {
    const line = { number: index + 1, text: raw.endsWith("\r") ? raw.slice(0, -1) : raw };
    if (/[\0\r]/.test(line.text)) {
      const found = line.text.includes("\0") ? "a NUL byte" : "a CR within the line";
      problems.error(line.number, `${found}: expected text with lines that end in LF or CRLF`);
      sound = false;
    }
    lines.push(line);
  }
  return sound ? lines : undefined;
}

/** White space within a line: space and tab only, so that messages show other characters that look blank. */
export const isBlank = (character: string | undefined): boolean => character === " " || character === "\t";

/** Removes white space from both ends, in linear time for any text (a regular expression would be quadratic). */
export function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text[from])) from += 1;
  while (to > from && isBlank(text[to - 1])) to -= 1;
  return text.slice(from, to);
}
