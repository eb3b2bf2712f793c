/** dmctl's exit codes. */
export const EXIT = {
  done: 0,
  /** The daemon did not reach the requested state. */
  failed: 1,
  usage: 2,
  /** Not permitted or not found. */
  refused: 3,
  /** No supervisor answers. */
  unreachable: 4,
} as const;
