/** Refusals: thrown anywhere in this room, turned into an answer in one place. */
import { type ApiError, ERROR_STATUS, type ErrorCode } from "@dmhost/contract";
import { type SchemaError, schemaMessage } from "./validation.ts";

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

/** The fields that Fastify gives an error of a request. */
interface ServerError {
  readonly statusCode?: number;
  readonly message?: string;
  readonly validation?: readonly SchemaError[];
  readonly validationContext?: string;
}

/** A message of the HTTP server in the form of all messages: a lower case first letter, and no final period. */
const inForm = (message: string): string =>
  message.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase()).replace(/\.$/, "");

/** HTTP status and body for an error that a handler threw. */
export const answerTo = (error: unknown): { status: number; body: ApiError } => {
  if (error instanceof Refusal) {
    const details = error.details.length > 0 ? { details: [...error.details] } : {};
    return { status: ERROR_STATUS[error.code], body: { code: error.code, message: error.message, ...details } };
  }
  const { statusCode, message, validation, validationContext = "request" } = error as ServerError;
  if (validation?.[0] !== undefined) {
    return {
      status: ERROR_STATUS.usage,
      body: { code: "usage", message: schemaMessage(validation[0], validationContext) },
    };
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return {
      status: statusCode,
      body: { code: "usage", message: message === undefined ? "the request is malformed" : inForm(message) },
    };
  }
  return {
    status: ERROR_STATUS.internal,
    body: { code: "internal", message: "the supervisor failed to carry this out; its log has the reason" },
  };
};
