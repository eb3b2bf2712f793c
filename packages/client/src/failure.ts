import type { ErrorCode } from "@dmhost/contract";

/**
 * Why something was not done: the supervisor's error code, or
 * `unreachable`: no supervisor answers at the socket, or the connection broke;
 * `permission-denied`: the caller may not connect to the socket;
 * `not-understood`: the answer is not the control API's;
 * `failed`: any other reason, of the client's program.
 */
export type FailureCode = ErrorCode | "unreachable" | "permission-denied" | "not-understood" | "failed";

/** An error for the user. The message says what failed, on what, why, and what to do. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  /** Further lines: ids to choose from, or problems of a file as `path:line: text`. */
  readonly details: readonly string[];

  constructor(code: FailureCode, message: string, details: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** The `code` of an error of the system or the runtime; "" where it has none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

const hasCause = (error: unknown, codes: readonly string[]): boolean =>
  error instanceof Failure && codes.includes(codeOf(error.cause));

/** Whether no connection was made, as nothing listens at the socket; the request can be sent to another one. */
export const nothingListens = (error: unknown): boolean => hasCause(error, ["ECONNREFUSED", "ENOENT"]);

/** Whether no connection was made, as too many wait at the socket. */
export const isCrowded = (error: unknown): boolean => hasCause(error, ["EAGAIN"]);

/** Whether the connection broke: nobody knows whether the request was carried out. */
export const brokeOff = (error: unknown): boolean => hasCause(error, ["EPIPE", "ECONNRESET"]);
