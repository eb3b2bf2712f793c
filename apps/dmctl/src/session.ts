import type { Readable, Writable } from "node:stream";
import type { UnixFetch } from "@dmhost/client";

/** The environment of one run of dmctl: main.ts makes it from the process, tests make their own. */
export interface Session {
  /** The supervisor's control API. */
  readonly fetch: UnixFetch;
  /** How long a request is sent again while no supervisor answers, in ms. */
  readonly patience: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Effective uid of the caller. */
  readonly uid: number;
  readonly input: Readable;
  readonly output: Writable;
  readonly errors: Writable;
  /** Whether `output` is a terminal: it gets colour, a pager and reasons; control characters are escaped. */
  readonly terminal: boolean;
  /** Whether the caller can answer questions: input and errors are a terminal. */
  readonly interactive: boolean;
}

/** Writes, and resolves when the stream has taken the text, so that nothing is lost when the process exits. */
export const write = (stream: Writable, text: string | Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    if (text.length === 0) resolve();
    else stream.write(text, (error) => (error ? reject(error) : resolve()));
  });

/** Error codes of a reader that left, as `head` does after ten lines. */
const GONE = new Set(["EPIPE", "ERR_STREAM_DESTROYED"]);

/** Whether an error only means that the reader of the output has left. */
export const isReaderGone = (error: unknown): boolean =>
  error instanceof Error && "code" in error && typeof error.code === "string" && GONE.has(error.code);
