/** How the main process of a run exited, and words for it. */
import { roughSize, writeDuration, writeSize } from "./units.ts";

/** Cause of an exit, where it is known, as the contract has it. `stop-timeout`: it did not end in time after TERM. */
export type Cause = "out-of-memory" | "stop-timeout";

/** How a run's main process ended. `how` is the contract's. */
export type Exit =
  | { readonly how: "code"; readonly code: number; readonly cause?: Cause }
  | { readonly how: "signal"; readonly signal: string; readonly cause?: Cause }
  /** Out of memory: its limit and its peak, in bytes. */
  | { readonly how: "out-of-memory"; readonly limit: number | undefined; readonly peak: number | undefined }
  /** The supervisor ended it because of the contents of its bind directory: `held`, in words. */
  | { readonly how: "too-many-files"; readonly held: string }
  /** The launch failed at this stage, e.g. `entering /srv/x`. */
  | { readonly how: "launch-failed"; readonly stage: string; readonly reason: string }
  /** It was not ready after this time, in ms. */
  | { readonly how: "not-ready"; readonly after: number }
  /** Its parent was an earlier supervisor, and the kernel reports an exit only to the parent. */
  | { readonly how: "unknown" };

/** Exit code by which a program asks not to be started again (docs/reference/lifecycle.md#respawn). */
const FINAL_CODE = 100;

/** Whether such an exit is followed by no restart. */
export const isFinal = (exit: Exit): boolean => exit.how === "code" && exit.code === FINAL_CODE;

/** Known exit codes: this program's, and those of a POSIX shell. */
const KNOWN_CODES: ReadonlyMap<number, string> = new Map([
  [FINAL_CODE, " (it asks not to be started again)"],
  [126, " (the shell cannot execute a program that `start` names)"],
  [127, " (the shell cannot find a program that `start` names)"],
]);

/** `: used 63.9 MiB of 64 MiB`, as far as both are known. */
const outOfMemory = (limit: number | undefined, peak: number | undefined): string => {
  if (limit === undefined) return peak === undefined ? "" : `: used ${roughSize(peak)}`;
  return peak === undefined ? `: the limit is ${writeSize(limit)}` : `: used ${roughSize(peak)} of ${writeSize(limit)}`;
};

/** Words for an exit: `exited with code 1`, `killed by SIGKILL`, `entering /srv/x: no such directory`. */
export const describeExit = (exit: Exit): string => {
  switch (exit.how) {
    case "code":
      return `exited with code ${exit.code}${KNOWN_CODES.get(exit.code) ?? ""}`;
    case "signal":
      return `killed by ${exit.signal}${exit.cause === "out-of-memory" ? " (out of memory)" : ""}`;
    case "out-of-memory":
      return `out of memory${outOfMemory(exit.limit, exit.peak)}`;
    case "too-many-files":
      return `killed because its bind directory holds ${exit.held}`;
    case "launch-failed":
      return `${exit.stage}: ${exit.reason}`;
    case "not-ready":
      return `not ready after ${writeDuration(exit.after)} (ready-timeout)`;
    case "unknown":
      return "exited while no supervisor ran; the exit code is unknown";
  }
};
