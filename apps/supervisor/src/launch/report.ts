/** What a launch chain said on its way, and how its end is told from its daemon's. */
import type { Exit } from "../core/lifecycle.ts";

/** The last line of a stage that named itself. */
const STAGE =
  /^(joining cgroup$|setting nice |locking |reading env-(dir|file) |putting the variables |entering |running )/;

/** Programs of the chain that speak for themselves, and what they were doing. */
const SPEAKERS: readonly (readonly [RegExp, string])[] = [
  [/^prlimit: /, "setting limits"],
  [/^(unable to raise CAP_SYS_CHROOT|Unable to (chroot|chdir))/, "entering the jail"],
  [/^execve '(.*)' failed!$/, "running the shell within the jail"],
];
/**
 * How programs of the chain, which is under the daemon's limits towards its end, tell that those are too tight for them; no
 * other limit is near.
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

/** capsh does not tell why. */
const SILENT = /^execve '(.*)' failed!$/;

/**
 * What a failed chain wrote on descriptor 3, as the stage and its reason. The last line is the stage where a stage named
 * itself; otherwise it is a program speaking, setpriv if no other.
 */
const readFailure = (text: string): { stage: string; reason: string } => {
  const lines = text.split("\n").filter((line) => line !== "");
  const last = lines.at(-1) ?? "";
  const stageNamed = STAGE.test(last);
  const said = (stageNamed ? lines.at(-2) : last) ?? "";
  const missing = SILENT.exec(said)?.[1];
  const reason =
    missing === undefined ? reasonOf(said) : `no such program there, or no permission to run it: ${missing}`;
  const stage = stageNamed
    ? last
    : ([...SPEAKERS, ...TOO_TIGHT].find(([voice]) => voice.test(last))?.[1] ?? "becoming the account");
  return { stage, reason: reason || "unknown error" };
};

/** What a program says behind its name and its subject; of prlimit, which says which limit, all but its name. */
const reasonOf = (said: string): string => {
  const reason = said.slice((said.startsWith("prlimit: ") ? said.indexOf(": ") : said.lastIndexOf(": ")) + 1).trim();
  return reason.replace(/(?<=^|: )[A-Z](?=[a-z])/g, (letter) => letter.toLowerCase());
};

/**
 * How a chain's end is told from its daemon's.
 * @param raw what os/processes/run.ts saw; undefined: nobody was there to see. `peak`: bytes of memory that it had at most
 * @param limit bytes of memory that it may have
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
  const oomKilled = raw.oomKilled ? ({ cause: "memory" } as const) : {};
  if (raw.oomKilled && raw.signal === "SIGKILL") return { how: "memory", limit, peak: raw.peak };
  if (raw.signal !== undefined) return { how: "signal", signal: raw.signal };
  if (raw.report !== "") return { how: "launch", ...readFailure(raw.report) };
  return { how: "code", code: raw.code ?? 0, ...(raw.code !== 0 && oomKilled) };
};
