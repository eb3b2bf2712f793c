/** Why a request was not carried out, and the HTTP status that carries it. */
export const ERROR_STATUS = {
  /** The request itself is wrong: an unknown field, verb or signal, or an ill-formed address. */
  usage: 400,
  /** The policy does not name the caller, or does not grant them this. */
  "not-in-policy": 403,
  /** There is no such daemon, or the caller may not control it: the answer is the same. */
  "not-found": 404,
  /** Several daemons have that short name. */
  ambiguous: 409,
  /** The daemon has no process to signal, or no log to show. */
  "not-applicable": 409,
  /** The conf file was changed since it was read, so it was not overwritten. */
  conflict: 409,
  /** The text sent for a conf file has errors. */
  "invalid-file": 422,
  /** The account has too many connections. */
  busy: 429,
  /** The supervisor or the machine failed; the supervisor's log has the reason. */
  internal: 500,
  /** The supervisor is stopping. */
  stopping: 503,
} as const;
export type ErrorCode = keyof typeof ERROR_STATUS;
