/**
 * Types and constants of the control API that supervisor and clients share. It loads no package: the schemas, which the
 * types come from, are in `@dmhost/contract/schemas`.
 *
 * A daemon is addressed as `<owner>/<name>`, or by `<name>` alone where only one daemon that the caller may
 * control has it. In a path the address is one segment, so its slash is sent as `%2F`.
 */
export * from "./bounds.ts";
export type * from "./endpoints.ts";
export * from "./error-codes.ts";
export * from "./exit-codes.ts";
export * from "./policy-verbs.ts";
export * from "./routes.ts";
export type * from "./schema/conf-file.ts";
export type * from "./schema/daemons.ts";
export type * from "./schema/errors.ts";
export type * from "./schema/explanation.ts";
export type * from "./schema/export.ts";
export type * from "./schema/health.ts";
export type * from "./schema/images.ts";
export type * from "./schema/logs.ts";
export type * from "./schema/outcomes.ts";
export type * from "./schema/policy.ts";
export * from "./signals.ts";
export * from "./sockets.ts";
export * from "./states.ts";
export * from "./version.ts";
