/** The control API over a UNIX socket: the contract's values, or Failures. */
export { type Client, clientAt, type Input } from "./client.ts";
export { brokeOff, Failure, type FailureCode, isCrowded, nothingListens } from "./failure.ts";
export { runtimeFetch } from "./runtime-fetch.ts";
export type { UnixFetch, UnixRequest, UnixResponse } from "./unix-fetch.ts";
