/** Lines of JSON that an engine streams. */

/** Longest line, in characters: a registry's words may be long. */
const LONGEST = 1 << 20;

/**
 * The values of the lines.
 * @param patience without a line until it fails, in ms; undefined: without end
 * @throws SyntaxError for a line that is no JSON; Error where a line is too long or does not come in time; errors of the stream
 */
export async function* lines(stream: NodeJS.ReadableStream, patience?: number): AsyncGenerator<unknown> {
  let rest = "";
  const late = (): void => {
    const error = new Error(`no news for ${(patience ?? 0) / 1000} s`);
    (stream as NodeJS.ReadableStream & { destroy(error: Error): void }).destroy(error);
  };
  const timer = patience === undefined ? undefined : setTimeout(late, patience);
  try {
    stream.setEncoding("utf8");
    for await (const chunk of stream) {
      timer?.refresh();
      const parts = (rest + String(chunk)).split("\n");
      rest = parts.pop() ?? "";
      if (rest.length > LONGEST) throw new Error("a line is too long");
      for (const part of parts) if (part.trim() !== "") yield JSON.parse(part);
    }
    if (rest.trim() !== "") yield JSON.parse(rest);
  } finally {
    clearTimeout(timer);
  }
}
