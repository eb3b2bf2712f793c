import type { Exit } from "../core/exit.ts";
import type { RawExit } from "./ports/runs.ts";

/**
 * The exit of a run.
 * @param limit its memory limit in bytes
 */
export const exitOf = (raw: RawExit, limit?: number): Exit => {
  if (raw === undefined) return { how: "unknown" };
  const { failure, oomKilled, peak, signal, code } = raw;
  const cause = oomKilled ? ({ cause: "out-of-memory" } as const) : {};
  if (oomKilled && signal === "SIGKILL") return { how: "out-of-memory", limit, peak };
  if (failure) return { how: "launch-failed", stage: failure.stage, reason: failure.reason };
  if (signal !== undefined) return { how: "signal", signal };
  return { how: "code", code, ...(code !== 0 && cause) };
};
