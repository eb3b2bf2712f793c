/** The control API over a UNIX socket: requests out, the contract's values or Failures back. */
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import { API_VERSION, type ApiError, ERROR_STATUS, EXIT } from "@dmhost/supervisor/contract";
import { EXIT_OF_ERROR, Failure } from "./failure.ts";

/** How long to wait for a connection, and for an answer that does not depend on a daemon, in milliseconds. */
const PATIENCE = 10_000;

/** A supervisor at one socket. */
export interface Client {
  /** The answer's body; undefined where the answer has none. Rejects with a Failure. */
  ask<T>(call: ApiCall): Promise<T>;
  /** The answer's bytes as they come. Rejects with a Failure, and so does the stream when it breaks off. */
  stream(call: ApiCall, signal: AbortSignal): Promise<IncomingMessage>;
}

/** One request. */
export interface ApiCall {
  readonly method?: "GET" | "POST" | "PUT";
  /** From `apiPath`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Whether the answer waits for a daemon to settle, however long that takes. */
  readonly settles?: boolean;
}

/** `/v1/...` with each segment encoded, so that an id's slash stays inside its segment. */
export const apiPath = (...segments: string[]): string =>
  `/${[API_VERSION, ...segments.map((segment) => encodeURIComponent(segment))].join("/")}`;

const HINTS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there; start the supervisor with "./dmhost up"',
  ENOENT: 'it is gone; start the supervisor with "./dmhost up"',
  EACCES: "permission denied: the socket is another user's",
  EAGAIN: "it has too many connections waiting; try again",
};

const connectionFailure = (socket: string, error: NodeJS.ErrnoException): Failure => {
  const exit = error.code === "EACCES" ? EXIT.refused : EXIT.unreachable;
  return new Failure(exit, `no supervisor answers at ${socket}: ${HINTS[error.code ?? ""] ?? error.message}`);
};

const readText = async (message: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
};

const isApiError = (value: unknown): value is ApiError =>
  typeof value === "object" &&
  value !== null &&
  "code" in value &&
  typeof value.code === "string" &&
  Object.hasOwn(ERROR_STATUS, value.code) &&
  "message" in value &&
  typeof value.message === "string";

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** What an answer other than 2xx says. */
const refusal = async (socket: string, response: IncomingMessage): Promise<Failure> => {
  const answer = parse(await readText(response));
  return isApiError(answer)
    ? new Failure(EXIT_OF_ERROR[answer.code], answer.message, answer.details, answer.code)
    : strange(socket, `HTTP ${response.statusCode}`);
};

const strange = (socket: string, what: string): Failure =>
  new Failure(EXIT.unreachable, `no supervisor that this dmctl understands answers at ${socket}: it said ${what}`);

/** A client of the supervisor that listens at `socket`, a real path. Connects anew for every request. */
export const clientAt = (socket: string): Client => {
  const open = (call: ApiCall, signal: AbortSignal | undefined, answerWithin: number): Promise<IncomingMessage> => {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const options: RequestOptions = {
      socketPath: socket,
      host: "localhost",
      method: call.method ?? "GET",
      path: call.path,
      agent: false,
      headers:
        body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      ...(signal === undefined ? {} : { signal }),
    };
    return new Promise((resolve, reject) => {
      const late = (): void => {
        sent.destroy(Object.assign(new Error(`no answer within ${PATIENCE / 1000} s`), { code: "ETIMEDOUT" }));
      };
      let timer = setTimeout(late, PATIENCE);
      const sent: ClientRequest = request(options, (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      sent.once("socket", (connection) => {
        connection.once("connect", () => {
          clearTimeout(timer);
          if (Number.isFinite(answerWithin)) timer = setTimeout(late, answerWithin);
        });
      });
      sent.once("error", (error) => {
        clearTimeout(timer);
        reject(signal?.aborted ? error : connectionFailure(socket, error));
      });
      sent.end(body);
    });
  };

  return {
    async ask<T>(call: ApiCall): Promise<T> {
      const response = await open(call, undefined, call.settles ? Number.POSITIVE_INFINITY : PATIENCE);
      if (Math.floor((response.statusCode ?? 0) / 100) !== 2) throw await refusal(socket, response);
      const text = await readText(response).catch((error) => {
        throw connectionFailure(socket, error);
      });
      const answer = parse(text);
      if (answer === undefined && text !== "") throw strange(socket, `"${text.slice(0, 60)}"`);
      return answer as T;
    },
    async stream(call, signal) {
      const response = await open(call, signal, PATIENCE);
      if (response.statusCode !== 200) throw await refusal(socket, response);
      return response;
    },
  };
};
