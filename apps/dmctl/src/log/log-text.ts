/** The stages through which a log's bytes pass to the reader. Each stage keeps at most one line, and at most 64 KiB of it. */
import { StringDecoder } from "node:string_decoder";
import { Failure } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";
import { type Clock, LABEL_LENGTH, labelAt, labelOf, type Stamper, tai64nLocal } from "@dmhost/supervisor/tai64n";
import { printable } from "../printable.ts";
import { type Session, write } from "../session.ts";

const LONGEST_LINE = 64 * 1024;
const NEWLINE = 10;

/** The lines of `source`, each with its newline, chunk by chunk. A line longer than 64 KiB is split. */
async function* linesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer[]> {
  let held: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      lines.push(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    held = bytes.subarray(start);
    if (held.length > LONGEST_LINE) {
      lines.push(held);
      held = Buffer.alloc(0);
    }
    yield lines;
  }
  if (held.length > 0) yield [held];
}

async function* only(source: AsyncIterable<Buffer>, wanted: (line: Buffer) => boolean): AsyncGenerator<Buffer> {
  for await (const lines of linesOf(source)) {
    const chosen = lines.filter(wanted);
    if (chosen.length > 0) yield Buffer.concat(chosen);
  }
}

/** One byte more, which shows where the label ends. */
const labelOfLine = (line: Buffer): string | undefined => labelOf(line.toString("latin1", 0, LABEL_LENGTH + 1));

/** Drops the lines before the first one whose stamp is at this moment (ms since 1970) or later. */
export const from = (source: AsyncIterable<Buffer>, moment: number): AsyncGenerator<Buffer> => {
  const least = labelAt(moment);
  let reached = false;
  return only(source, (line) => {
    reached ||= (labelOfLine(line) ?? "") >= least;
    return reached;
  });
};

/** Drops lines whose text, without its stamp, does not match the pattern. */
export const matching = (source: AsyncIterable<Buffer>, pattern: RegExp): AsyncGenerator<Buffer> =>
  only(source, (line) =>
    pattern.test(line.toString("utf8", labelOfLine(line) === undefined ? 0 : LABEL_LENGTH + 1).replace(/\n$/, "")),
  );

/** Replaces the TAI64N label of each line by the time on `clock`; every other byte passes as it is. */
export async function* withWallClock(
  source: AsyncIterable<Buffer>,
  clock: Clock,
  stamper: Stamper = "s6-log",
): AsyncGenerator<Buffer> {
  let held = "";
  let atLineStart = true;
  for await (const chunk of source) {
    // Latin-1 is one character a byte, there and back: no encoding is broken.
    const text = held + chunk.toString("latin1");
    const shown: string[] = [];
    held = "";
    for (let start = 0; start < text.length; ) {
      const newline = text.indexOf("\n", start);
      const line = text.slice(start, newline < 0 ? undefined : newline + 1);
      if (atLineStart && newline < 0 && line.startsWith("@") && line.length <= LABEL_LENGTH) {
        held = line;
        break;
      }
      shown.push(atLineStart ? tai64nLocal(line, clock, stamper) : line);
      atLineStart = newline >= 0;
      start += line.length;
    }
    if (shown.length > 0) yield Buffer.from(shown.join(""), "latin1");
  }
  if (held !== "") yield Buffer.from(tai64nLocal(held, clock, stamper), "latin1");
}

/** Escapes what a terminal would obey (docs/explanation/security.md#17). */
export async function* withoutControls(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  for await (const chunk of source) yield printable(decoder.write(chunk));
  yield printable(decoder.end());
}

/**
 * Copies standard input with the time on `clock` in place of its labels; escaped on a terminal, else every other byte as
 * it is. Throws a Failure when the input cannot be read, and the error of an output that is closed.
 */
export const showWallClock = async (
  { input, output, terminal }: Session,
  clock: Clock,
  stamper: Stamper,
): Promise<number> => {
  const read = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* input;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Failure("failed", `cannot read standard input: ${reason}`);
    }
  };
  const shown = withWallClock(read(), clock, stamper);
  for await (const chunk of terminal ? withoutControls(shown) : shown) await write(output, chunk);
  return EXIT.done;
};
