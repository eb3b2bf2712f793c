/**
 * The contract of the broker, which alone holds the socket of the Docker engine, with the supervisor, its only client: one
 * connection to a UNIX socket, on which both send lines of JSON. Types and constants alone, without a package; the schemas are in
 * `@dmhost/broker-contract/schemas`.
 *
 * Each request has an id and gets one answer with this id, a result or an error; progress comes before the answer. Events
 * come at any time. A line that is too long ends the connection, and so does one that is no JSON or has no id; a request of another form
 * is answered `invalid`. A newer connection ends the older one. After it connects the supervisor sends `hello`, then `list`. It passes over
 * events of containers that it does not know: one that fails to start ends before `make` is answered.
 */
export * from "./bounds.ts";
export * from "./errors.ts";
export type * from "./schemas.ts";
