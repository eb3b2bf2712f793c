/** The runtime's part of the client: HTTP over a UNIX socket. Bun's own `fetch` provides it. */

/** One request. `keepalive`, `redirect` and `timeout` are Bun's; each request has its own connection, and no time limit. */
export interface UnixRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  /** JSON text. */
  readonly body?: string;
  /** Path of the socket. */
  readonly unix: string;
  readonly signal: AbortSignal;
  readonly keepalive: false;
  readonly redirect: "manual";
  readonly timeout: false;
}

/** The head of an answer, and its body as it arrives; reading rejects when the connection breaks before the end. */
export interface UnixResponse {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array> | null;
  text(): Promise<string>;
}

/** Resolves when the head of the answer is there. Rejects with an Error whose `code` is an errno name, or the runtime's. */
export type UnixFetch = (url: string, request: UnixRequest) => Promise<UnixResponse>;
