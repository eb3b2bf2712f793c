/** Refusals: thrown anywhere in this room, turned into an answer in one place. */
import { type ApiError, ERROR_STATUS, type ErrorCode } from "@dmhost/contract";

/** A request that is not carried out; the caller reads its message. */
export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly details: readonly string[];

  constructor(code: ErrorCode, message: string, details: readonly string[] = []) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** HTTP status and body for an error that a handler threw. */
export const answerTo = (error: unknown): { status: number; body: ApiError } => {
  if (error instanceof Refusal) {
    const details = error.details.length > 0 ? { details: [...error.details] } : {};
    return { status: ERROR_STATUS[error.code], body: { code: error.code, message: error.message, ...details } };
  }
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return { status: statusCode, body: { code: "usage", message: message ?? "the request is not understood" } };
  }
  return {
    status: ERROR_STATUS.internal,
    body: { code: "internal", message: "the supervisor failed to carry this out; its log says why" },
  };
};
