/** Reads the report of a launch chain, and distinguishes the exit of the chain from that of its daemon. */
import type { Exit } from "../core/exit.ts";

/** The last line of a report in which a stage names itself. */
const STAGE =
  /^(joining cgroup$|setting nice |locking |reading env-(dir|file) |merging the variables$|entering |running )/;

/** Messages of programs in the chain that name no stage, and the stage. */
const MESSAGES: readonly (readonly [RegExp, string])[] = [
  [/^prlimit: /, "setting limits"],
  [/^(unable to raise CAP_SYS_CHROOT|Unable to (chroot|chdir))/, "entering the jail"],
  [/^execve '(.*)' failed!$/, "running the shell within the jail"],
];
/**
 * Messages of programs at the end of the chain that lack a resource, and the stage: the daemon's limits apply to them
 * already, and no other limit is as low.
 */
const TOO_TIGHT: readonly (readonly [RegExp, string])[] = [
  [
    /: Error 24$|too many open files|: bad file descriptor|file descriptor out of range/i,
    "starting within limit-nofile",
  ],
  [
    /failed to map segment|cannot map |cannot allocate |: Error 12$|out of (memory|space)/i,
    "starting within its memory limits",
  ],
  [/cannot fork|resource temporarily unavailable/i, "starting within its process limits"],
];

/** A message of capsh, which gives no reason. */
const SILENT = /^execve '(.*)' failed!$/;

/**
 * The stage and the reason out of what a failed chain wrote on descriptor 3. The last line is the name of the stage, or
 * else a message of a program, by default of setpriv.
 */
const readFailure = (text: string): { stage: string; reason: string } => {
  const lines = text.split("\n").filter((line) => line !== "");
  const last = lines.at(-1) ?? "";
  const isStage = STAGE.test(last);
  const message = (isStage ? lines.at(-2) : last) ?? "";
  const missing = SILENT.exec(message)?.[1];
  const reason = missing === undefined ? reasonOf(message) : `program not found or not executable: ${missing}`;
  const stage = isStage
    ? last
    : ([...MESSAGES, ...TOO_TIGHT].find(([pattern]) => pattern.test(last))?.[1] ?? "becoming the account");
  return { stage, reason: reason || "unknown error" };
};

/** A message without the program and its subject; of prlimit, whose subject is the limit, without the program only. */
const reasonOf = (message: string): string => {
  const reason = message
    .slice((message.startsWith("prlimit: ") ? message.indexOf(": ") : message.lastIndexOf(": ")) + 1)
    .trim();
  return reason.replace(/(?<=^|: )[A-Z](?=[a-z])/g, (letter) => letter.toLowerCase());
};

/**
 * The exit of a run.
 * @param raw as the adapter of runs reports it; undefined: the process was no child of ours. `peak`: its peak memory in
 * bytes
 * @param limit its memory limit in bytes
 */
export const readExit = (
  raw:
    | {
        readonly code: number | undefined;
        readonly signal: string | undefined;
        readonly report: string;
        readonly oomKilled: boolean;
        readonly peak?: number | undefined;
      }
    | undefined,
  limit?: number,
): Exit => {
  if (raw === undefined) return { how: "unknown" };
  const oomKilled = raw.oomKilled ? ({ cause: "out-of-memory" } as const) : {};
  if (raw.oomKilled && raw.signal === "SIGKILL") return { how: "out-of-memory", limit, peak: raw.peak };
  if (raw.signal !== undefined) return { how: "signal", signal: raw.signal };
  if (raw.report !== "") return { how: "launch-failed", ...readFailure(raw.report) };
  return { how: "code", code: raw.code ?? 0, ...(raw.code !== 0 && oomKilled) };
};
