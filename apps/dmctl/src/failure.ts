import { Failure, type FailureCode } from "@dmhost/client";
import { EXIT } from "@dmhost/contract";
import { suggestion } from "@dmhost/supervisor/suggestion";
import { jsonLine, oneLine, printable } from "./printable.ts";
import { type Session, write } from "./session.ts";

/** A command line that makes no sense. */
export const misuse = (message: string): Failure => new Failure("usage", `${message}\n"dmctl help" shows the commands`);

/** Where a word that is not understood is not near to any. */
export const SEE_HELP = 'see "dmctl help"';

/** A command line with a word that is not one of `known`. @param what kind of word */
export const unknownWord = (what: string, word: string, known: readonly string[]): Failure => {
  const hint = suggestion(word, known, SEE_HELP);
  const message = `unknown ${what} "${word}": ${hint}`;
  return hint === SEE_HELP ? new Failure("usage", message) : misuse(message);
};

/** The meaning of each exit code. */
export const EXITS = {
  [EXIT.done]: "success",
  [EXIT.failed]: "the daemon did not reach the requested state, there is nothing to print, or the policy says no",
  [EXIT.usage]: "the command line is wrong",
  [EXIT.refused]: "not permitted or not found, which look alike, or several daemons have that name",
  [EXIT.unreachable]: "no supervisor answers",
} as const satisfies Record<(typeof EXIT)[keyof typeof EXIT], string>;

/** The exit code of each failure, and what it means. */
export const FAILURES = {
  usage: { exit: EXIT.usage, means: "the command line or the request is wrong" },
  "not-in-policy": { exit: EXIT.refused, means: "the policy does not permit it" },
  "not-found": { exit: EXIT.refused, means: "there is no such daemon that the caller may control" },
  ambiguous: { exit: EXIT.refused, means: "several daemons have that name; `details` has their ids" },
  "not-applicable": { exit: EXIT.failed, means: "the daemon has no process, log or file of that kind" },
  conflict: { exit: EXIT.failed, means: "the file was changed meanwhile" },
  "invalid-file": { exit: EXIT.failed, means: "a conf file cannot be loaded; `details` may have its errors" },
  busy: { exit: EXIT.failed, means: "the account has too many connections" },
  internal: { exit: EXIT.failed, means: "an error of the supervisor or of the machine" },
  stopping: { exit: EXIT.unreachable, means: "the supervisor is stopping" },
  unreachable: { exit: EXIT.unreachable, means: "no supervisor answers, or the connection broke" },
  "permission-denied": { exit: EXIT.refused, means: "the caller may not use the socket, or must not trust it" },
  "not-understood": { exit: EXIT.unreachable, means: "the answer is not that of a supervisor" },
  failed: { exit: EXIT.failed, means: "anything else, such as a daemon that did not reach the requested state" },
} as const satisfies Record<FailureCode, { readonly exit: number; readonly means: string }>;

/** The message of a failure, and each detail indented below it. */
const failureText = ({ message, details }: Failure): string =>
  `dmctl: ${printable(message)}\n${details.map((detail) => `  ${oneLine(detail)}\n`).join("")}`;

/** Writes a failure to standard error: as text, or with --json as one line of JSON. */
export const report = ({ errors }: Session, failure: Failure, asJson: boolean): Promise<void> => {
  const { code, message, details } = failure;
  const error = { code, message, ...(details.length > 0 && { details }) };
  return write(errors, asJson ? jsonLine({ error }) : failureText(failure));
};
