import {
  type Answer,
  API_VERSION,
  type ApiError,
  type Body,
  type EndpointName,
  ERROR_STATUS,
  type JsonName,
  type Params,
  type Query,
  ROUTES,
  type Route,
  type StreamName,
} from "@dmhost/contract";
import { codeOf, Failure } from "./failure.ts";
import type { UnixFetch, UnixResponse } from "./unix-fetch.ts";

/** How long to wait for an answer that does not depend on a daemon, in ms. */
const PATIENCE = 10_000;

type Given<F extends string, T> = [T] extends [undefined]
  ? { readonly [K in F]?: never }
  : object extends T
    ? { readonly [K in F]?: T }
    : { readonly [K in F]: T };

/** The input of an endpoint by the contract: `params` of its path, `query` and `body`. */
export type Input<N extends EndpointName> = Given<"params", Params<N>> &
  Given<"query", Query<N>> &
  Given<"body", Body<N>>;

/** The input may be missing where nothing of it is required. */
type Inputs<N extends EndpointName> = object extends Input<N> ? [input?: Input<N>] : [input: Input<N>];

/** A supervisor at one socket. */
export interface Client {
  /** The answer of an endpoint. Rejects with a Failure. */
  call<N extends JsonName>(name: N, ...input: Inputs<N>): Promise<Answer<N>>;
  /** The bytes of an endpoint as they arrive, until `signal`. Rejects with a Failure; so does reading, when the answer breaks off. */
  stream<N extends StreamName>(name: N, input: Input<N>, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** Any endpoint's input, once the types have checked it. */
interface AnyInput {
  readonly params?: Readonly<Record<string, string>> | undefined;
  readonly query?: Readonly<Record<string, string | number>> | undefined;
  readonly body?: unknown;
}

/** A value of a path, encoded so that its slash stays inside its segment. A URL resolves `.` and `..` however they are encoded. */
const segment = (value: string): string => {
  if (["", ".", ".."].includes(value)) {
    throw new Failure("usage", `"${value}" is not a daemon's name; write name or owner/name`);
  }
  return encodeURIComponent(value);
};

const target = (path: string, { params = {}, query = {} }: AnyInput): string => {
  const filled = path.replace(/:(\w+)/g, (_, name: string) => segment(params[name] ?? ""));
  const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
  return `/${API_VERSION}${filled}${search.size === 0 ? "" : `?${search}`}`;
};

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there: the supervisor does not run",
  ENOENT: "the socket is gone: the supervisor does not run",
  EACCES: "permission denied: the socket is another user's",
  EAGAIN: "too many connections are waiting there; try again",
  EPIPE: "it closed the connection before the request was sent; try again",
  ECONNRESET: "it closed the connection before the end of its answer",
};

/** Codes of answers that are no HTTP: Node's and Bun's. */
const NO_HTTP = /^(?:HPE_|Malformed_HTTP|InvalidHTTP)/;

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
    const kind = code === "EACCES" ? "permission-denied" : "unreachable";
    return new Failure(kind, `cannot reach ${socket}: ${reason}`, [], { cause: error });
  };

  const refusal = async (answer: UnixResponse): Promise<Failure> => {
    const value = parsed(await answer.text());
    if (!isApiError(value)) return notUnderstood(`HTTP status ${answer.status}`);
    return new Failure(value.code, value.message, value.details);
  };

  /** Does `work` with the answer, within PATIENCE unless the endpoint waits for daemons. */
  const exchange = async <T>(
    name: EndpointName,
    input: AnyInput,
    leave: AbortSignal | undefined,
    work: (answer: UnixResponse) => Promise<T>,
  ): Promise<T> => {
    const { method, path, settles }: Route = ROUTES[name];
    const url = `http://dmhost${target(path, input)}`;
    const { body } = input;
    const ended = new AbortController();
    let late = false;
    const giveUp = (): void => {
      late = true;
      ended.abort();
    };
    const timer = settles ? undefined : setTimeout(giveUp, PATIENCE);
    try {
      const answer = await fetch(url, {
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
    call<N extends JsonName>(name: N, ...[input = {}]: [input?: AnyInput]): Promise<Answer<N>> {
      return exchange(name, input, undefined, async (answer) => {
        const value = parsed(await answer.text());
        if (value === undefined) throw notUnderstood("no JSON");
        return value as Answer<N>;
      });
    },
    stream(name, input, signal) {
      return exchange(name, input, signal, async ({ body }) => {
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
