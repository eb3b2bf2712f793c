/** Lines of JSON that an engine streams. */

/** Longest line, in characters: a registry's words may be long. */
const LONGEST = 1 << 20;

/**
 * The values of the lines.
 * @param patience until it fails without a line, in ms, and until it fails in any case; undefined: without end
 * @throws SyntaxError for a line that is no JSON; Error where a line is too long or does not come in time; errors of the stream
 */
export async function* lines(
  stream: NodeJS.ReadableStream,
  patience?: { readonly silent: number; readonly whole: number },
): AsyncGenerator<unknown> {
  let rest = "";
  const fail = (reason: string) => (): void =>
    (stream as NodeJS.ReadableStream & { destroy(error: Error): void }).destroy(new Error(reason));
  const silence = patience && setTimeout(fail(`no news for ${patience.silent / 1000} s`), patience.silent);
  const end = patience && setTimeout(fail(`not complete after ${patience.whole / 1000} s`), patience.whole);
  try {
    stream.setEncoding("utf8");
    for await (const chunk of stream) {
      silence?.refresh();
      const parts = (rest + String(chunk)).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > LONGEST) throw new Error("a line is too long");
      for (const part of parts) if (part.trim() !== "") yield JSON.parse(part);
    }
    if (rest.trim() !== "") yield JSON.parse(rest);
  } finally {
    clearTimeout(silence);
    clearTimeout(end);
  }
}
