/** Code of an error of a system call, e.g. `ENOENT`; "" for any other error. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** Message of an error, for a report. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
