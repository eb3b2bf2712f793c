import { API_VERSION, type ApiError, ERROR_STATUS } from "@dmhost/contract";
import { Failure } from "./failure.ts";
import type { UnixFetch, UnixResponse } from "./unix-fetch.ts";

/** How long to wait for an answer that does not depend on a daemon, in ms. */
const PATIENCE = 10_000;

/** One request. */
export interface ApiCall {
  /** GET by default. */
  readonly method?: "GET" | "POST" | "PUT";
  /** From `apiPath`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Whether the answer waits until a daemon has settled, however long that takes. */
  readonly settles?: boolean;
}

/** A supervisor at one socket. */
export interface Client {
  /** The answer's body. Rejects with a Failure. */
  ask<T>(call: ApiCall): Promise<T>;
  /** The answer's bytes as they come, until `signal`. Rejects with a Failure; so does reading, when the answer breaks off. */
  stream(call: ApiCall, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/**
 * `/v1/...` with each segment encoded, so that an id's slash stays inside its segment. Throws a Failure (usage) for the
 * segments `.` and `..`, which a URL resolves however they are encoded.
 */
export const apiPath = (...segments: string[]): string => {
  const dots = segments.find((segment) => segment === "." || segment === "..");
  if (dots !== undefined) throw new Failure("usage", `"${dots}" is no daemon's name; write name or owner/name`);
  return `/${[API_VERSION, ...segments.map((segment) => encodeURIComponent(segment))].join("/")}`;
};

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; start the supervisor with "./dmhost up"',
  ENOENT: 'the socket is gone; start the supervisor with "./dmhost up"',
  EACCES: "permission denied: the socket is another user's",
  EAGAIN: "too many connections are waiting there; try again",
  ECONNRESET: "it closed the connection before the end of its answer",
};

/** Codes of answers that are no HTTP: Node's and Bun's. */
const NO_HTTP = /^(?:HPE_|Malformed_HTTP|InvalidHTTP)/;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

const isApiError = (value: unknown): value is ApiError =>
  typeof value === "object" &&
  value !== null &&
  "code" in value &&
  typeof value.code === "string" &&
  Object.hasOwn(ERROR_STATUS, value.code) &&
  "message" in value &&
  typeof value.message === "string";

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A client of the supervisor that listens at `socket`. Each request has its own connection. */
export const clientAt = (socket: string, fetch: UnixFetch): Client => {
  const notUnderstood = (what: string): Failure =>
    new Failure("not-understood", `the answer at ${socket} is not the control API ${API_VERSION}: ${what}`);

  /** A connection that was not made, or broke. */
  const connectionFailure = (error: unknown): Failure => {
    if (error instanceof Failure) return error;
    const code = codeOf(error);
    if (NO_HTTP.test(code)) return notUnderstood("no HTTP");
    const reason = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
    return new Failure(code === "EACCES" ? "permission-denied" : "unreachable", `cannot reach ${socket}: ${reason}`);
  };

  const refusal = async (answer: UnixResponse): Promise<Failure> => {
    const value = parsed(await answer.text());
    if (!isApiError(value)) return notUnderstood(`HTTP status ${answer.status}`);
    return new Failure(value.code, value.message, value.details);
  };

  /** Does `work` with the answer; after `patience` ms it is too late for that. */
  const exchange = async <T>(
    { method = "GET", path, body }: ApiCall,
    patience: number,
    leave: AbortSignal | undefined,
    work: (answer: UnixResponse) => Promise<T>,
  ): Promise<T> => {
    const ended = new AbortController();
    let late = false;
    const giveUp = (): void => {
      late = true;
      ended.abort();
    };
    const timer = patience === Number.POSITIVE_INFINITY ? undefined : setTimeout(giveUp, patience);
    try {
      const answer = await fetch(`http://dmhost${path}`, {
        method,
        headers: body === undefined ? {} : { "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        unix: socket,
        signal: leave === undefined ? ended.signal : AbortSignal.any([ended.signal, leave]),
        keepalive: false,
        redirect: "manual",
        timeout: false,
      });
      if (answer.status < 200 || answer.status > 299) throw await refusal(answer);
      return await work(answer);
    } catch (error) {
      throw connectionFailure(late ? new Error(`no answer within ${PATIENCE / 1000}s`) : error);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    ask<T>(call: ApiCall): Promise<T> {
      return exchange(call, call.settles ? Number.POSITIVE_INFINITY : PATIENCE, undefined, async (answer) => {
        const text = await answer.text();
        const value = parsed(text);
        if (value === undefined && text !== "") throw notUnderstood("no JSON");
        return value as T;
      });
    },
    stream(call, signal) {
      return exchange(call, PATIENCE, signal, async ({ body }) => {
        const read = async function* (): AsyncGenerator<Uint8Array> {
          try {
            yield* body ?? [];
          } catch (error) {
            throw connectionFailure(error);
          }
        };
        return read();
      });
    },
  };
};
