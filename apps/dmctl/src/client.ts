/** The control API: the contract's values out of it, or Failures. */
import type { Readable } from "node:stream";
import { API_VERSION, type ApiError, ERROR_STATUS, EXIT } from "@dmhost/contract";
import { type Answer, exchange, readText } from "./exchange.ts";
import { EXIT_OF_ERROR, Failure } from "./failure.ts";

/** How long to wait for a connection, and for an answer that does not depend on a daemon, in milliseconds. */
const PATIENCE = 10_000;

/** One request. */
export interface ApiCall {
  /** GET unless told otherwise. */
  readonly method?: "GET" | "POST" | "PUT";
  /** From `apiPath`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Whether the answer waits for a daemon to settle, however long that takes. */
  readonly settles?: boolean;
}

/** A supervisor at one socket. Every request has its own connection. */
export interface Client {
  /** The answer's body. Rejects with a Failure. */
  ask<T>(call: ApiCall): Promise<T>;
  /** The answer's bytes as they come, until `signal`. Rejects with a Failure. */
  stream(call: ApiCall, signal: AbortSignal): Promise<Readable>;
}

/** `/v1/...` with each segment encoded, so that an id's slash stays inside its segment. */
export const apiPath = (...segments: string[]): string =>
  `/${[API_VERSION, ...segments.map((segment) => encodeURIComponent(segment))].join("/")}`;

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; start the supervisor with "./dmhost up"',
  ENOENT: 'the socket is gone; start the supervisor with "./dmhost up"',
  EACCES: "permission denied: the socket is another user's",
  EAGAIN: "too many connections are waiting there; try again",
};

/** A connection that did not come to be, or broke. */
const connectionFailure = (socket: string, error: NodeJS.ErrnoException): Failure => {
  const reason = REASONS[error.code ?? ""] ?? error.message;
  return new Failure(error.code === "EACCES" ? EXIT.refused : EXIT.unreachable, `cannot reach ${socket}: ${reason}`);
};

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

/** A client of the supervisor that listens at `socket`. */
export const clientAt = (socket: string): Client => {
  const reach = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw connectionFailure(socket, error instanceof Error ? error : new Error(String(error)));
    }
  };
  const open = ({ method = "GET", path, body, settles = false }: ApiCall, signal?: AbortSignal): Promise<Answer> => {
    const question = { method, path, body: body === undefined ? "" : JSON.stringify(body) };
    const patience = { connect: PATIENCE, answer: settles ? Number.POSITIVE_INFINITY : PATIENCE };
    return reach(() => exchange(socket, question, patience, signal));
  };
  const strange = (what: string): Failure =>
    new Failure(EXIT.unreachable, `what answers at ${socket} is no supervisor that this dmctl understands: ${what}`);
  const refusal = (status: number, text: string): Failure => {
    const answer = parsed(text);
    if (!isApiError(answer)) return strange(`HTTP status ${status}`);
    return new Failure(EXIT_OF_ERROR[answer.code], answer.message, answer.details, answer.code);
  };

  return {
    async ask<T>(call: ApiCall): Promise<T> {
      const answer = await open(call);
      const text = await reach(() => readText(answer));
      if (answer.status < 200 || answer.status > 299) throw refusal(answer.status, text);
      const value = parsed(text);
      if (value === undefined && text !== "") throw strange("no JSON");
      return value as T;
    },
    async stream(call, signal) {
      const answer = await open(call, signal);
      if (answer.status !== 200) throw refusal(answer.status, await reach(() => readText(answer)));
      return answer.body;
    },
  };
};
