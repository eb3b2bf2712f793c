import { Failure, type FailureCode } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";

/** A command line that makes no sense. */
export const misuse = (message: string): Failure => new Failure("usage", `${message}\n"dmctl help" shows the commands`);

/** The exit code of each failure. */
export const EXIT_OF_FAILURE = {
  usage: EXIT.usage,
  "not-in-policy": EXIT.refused,
  "not-found": EXIT.refused,
  ambiguous: EXIT.refused,
  "permission-denied": EXIT.refused,
  "not-applicable": EXIT.failed,
  conflict: EXIT.failed,
  "invalid-file": EXIT.failed,
  busy: EXIT.failed,
  internal: EXIT.failed,
  failed: EXIT.failed,
  stopping: EXIT.unreachable,
  unreachable: EXIT.unreachable,
  "not-understood": EXIT.unreachable,
} as const satisfies Record<FailureCode, number>;
