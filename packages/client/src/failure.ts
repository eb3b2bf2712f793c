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

  constructor(code: FailureCode, message: string, details: readonly string[] = []) {
    super(message);
    this.code = code;
    this.details = details;
  }
}
