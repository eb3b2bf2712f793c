import { type ErrorCode, EXIT } from "@dmhost/contract";

/** What ends dmctl early: a message for the terminal (what failed, on what, why, what to do) and an exit code. */
export class Failure extends Error {
  override readonly name = "Failure";
  /** One of the contract's EXIT codes. */
  readonly exit: number;
  /** Further lines for the reader: ids to choose from, or problems of a file as `path:line: text`. */
  readonly details: readonly string[];
  /** The API's error code where the supervisor answered, else undefined. */
  readonly code: ErrorCode | undefined;

  constructor(exit: number, message: string, details: readonly string[] = [], code?: ErrorCode) {
    super(message);
    this.exit = exit;
    this.details = details;
    this.code = code;
  }
}

/** A command line that makes no sense. */
export const misuse = (message: string): Failure =>
  new Failure(EXIT.usage, `${message}\n"dmctl help" shows the commands`);

/** The exit code for each error that the supervisor may answer with. */
export const EXIT_OF_ERROR = {
  usage: EXIT.usage,
  "not-in-policy": EXIT.refused,
  "not-found": EXIT.refused,
  ambiguous: EXIT.refused,
  "not-applicable": EXIT.failed,
  conflict: EXIT.failed,
  "invalid-file": EXIT.failed,
  busy: EXIT.failed,
  internal: EXIT.failed,
  stopping: EXIT.unreachable,
} as const satisfies Record<ErrorCode, number>;
