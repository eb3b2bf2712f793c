/** The schemas of the control API, which the types of `@dmhost/contract` come from, and its endpoints. */
export * from "./endpoints.ts";
export * from "./routes.ts";
export * from "./schema/conf-file.ts";
export * from "./schema/daemons.ts";
export * from "./schema/errors.ts";
export * from "./schema/explanation.ts";
export * from "./schema/export.ts";
export * from "./schema/health.ts";
export * from "./schema/images.ts";
export * from "./schema/logs.ts";
export * from "./schema/outcomes.ts";
export * from "./schema/policy.ts";
