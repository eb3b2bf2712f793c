/** Every answer with an HTTP status of 400 or more. */
import type { Static } from "typebox";
import { ERROR_STATUS, type ErrorCode } from "../error-codes.ts";
import { oneOf, optional, record, text, texts } from "./shapes.ts";

export const ApiError = record("Why a request was not carried out.", {
  code: oneOf(Object.keys(ERROR_STATUS) as ErrorCode[], "For programs."),
  message: text("What failed, on what, why, and what to do. At most three lines."),
  details: optional(
    texts("With `ambiguous`: the ids to choose from. With `invalid-file`: the problems, `path:line: text`."),
  ),
});
export type ApiError = Static<typeof ApiError>;
