/** What happens to a log's bytes on their way to the reader. Each stage keeps at most one label between two chunks. */
import { StringDecoder } from "node:string_decoder";
import { EXIT } from "@dmhost/supervisor/contract";
import { Failure } from "./failure.ts";
import { printable } from "./printable.ts";
import { type Session, write } from "./session.ts";
import { type Clock, LABEL_LENGTH, tai64nLocal } from "./tai64n.ts";

/** Replaces the TAI64N label of each line by the time on `clock`; every other byte passes as it is. */
export async function* withWallClock(source: AsyncIterable<Buffer>, clock: Clock): AsyncGenerator<Buffer> {
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
      shown.push(atLineStart ? tai64nLocal(line, clock) : line);
      atLineStart = newline >= 0;
      start += line.length;
    }
    if (shown.length > 0) yield Buffer.from(shown.join(""), "latin1");
  }
  if (held !== "") yield Buffer.from(tai64nLocal(held, clock), "latin1");
}

/** Escapes what a terminal would obey (spec/security.md, 17). */
export async function* withoutControls(source: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  for await (const chunk of source) yield printable(decoder.write(chunk));
  yield printable(decoder.end());
}

/**
 * Copies standard input with the time on `clock` in place of its labels; escaped on a terminal, else every other byte as
 * it is. Throws a Failure when the input cannot be read, and the error of an output that is closed.
 */
export const showWallClock = async ({ input, output, terminal }: Session, clock: Clock): Promise<number> => {
  const read = async function* (): AsyncGenerator<Buffer> {
    try {
      yield* input;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Failure(EXIT.failed, `cannot read standard input: ${reason}`);
    }
  };
  const shown = withWallClock(read(), clock);
  for await (const chunk of terminal ? withoutControls(shown) : shown) await write(output, chunk);
  return EXIT.done;
};
