/** The likely cause of an exit, and advice to the owner of a failing daemon. */
import { ownerOf } from "./daemon-key.ts";
import type { Exit } from "./exit.ts";
import type { State } from "./lifecycle.ts";

/** The facts about a daemon that advice needs besides its state. */
export interface Concern {
  readonly id: string;
  /** Run-as account. */
  readonly user: string;
  /** Whether its output is logged. */
  readonly logged: boolean;
  /** Its service directory, if it has one, and whether that has a `log/run`. */
  readonly service?: { readonly directory: string; readonly logger: boolean };
}

const FAULTS: ReadonlySet<string> = new Set(["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS"]);
const REQUESTS: ReadonlySet<string> = new Set(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]);
/** A POSIX shell adds it to the number of the signal that ended its program. */
const SIGNALLED = 128;
const LAST_SIGNAL = 64;

/** The likely cause of an exit, beyond describeExit; "" where there is nothing to add. */
export const meaning = (exit: Exit): string => {
  switch (exit.how) {
    case "launch-failed":
      return "the program never started";
    case "not-ready":
      return "a program that does not support ready=fd:N or notify also looks like this";
    case "unknown":
      return "only the supervisor that started it could know the exit code";
    case "signal":
      if (exit.cause === "stop-timeout") return "it ignored TERM and was killed after stop-timeout";
      if (exit.cause === "out-of-memory") return "the kernel killed it: out of memory";
      if (exit.signal === "SIGKILL") return "a kill -9, or the kernel: out of memory";
      if (FAULTS.has(exit.signal)) return "a fault in the program";
      return REQUESTS.has(exit.signal) ? "its end was requested" : "";
    case "out-of-memory":
      return "its processes together used more than their limit";
    case "too-many-files":
      return "the space there is shared by all daemons, for a socket, a lock file and a pid file each";
    case "code":
      if (exit.cause === "out-of-memory") return "the kernel killed one of its processes: out of memory";
      if (exit.code === 0) return "it ended by itself; a program that goes into the background also looks like this";
      if (exit.code > SIGNALLED && exit.code <= SIGNALLED + LAST_SIGNAL) {
        return `the shell reports that signal ${exit.code - SIGNALLED} ended its program`;
      }
      return exit.code === 126 || exit.code === 127 ? "" : "the program's own exit code; see its manual";
  }
};

/** The keys behind the stages of a launch that its owner can correct. */
const KEYS: readonly (readonly [string, string])[] = [
  ["entering the jail", "chroot="],
  ["locking ", "lock="],
  ["reading env-dir ", "env-dir="],
  ["reading env-file ", "env-file="],
  ["merging the variables", "env-dir= or env-file="],
  ["setting nice ", "nice="],
  ["setting limits", "the limit-... keys"],
  ["starting within limit-nofile", "limit-nofile="],
  ["starting within its memory limits", "limit-as=, limit-data=, limit-stack= or memory="],
  ["starting within its process limits", "limit-nproc= or processes="],
  ["running the shell within the jail", "shell= or chroot="],
];

/** What to do after such an end: one sentence. */
const afterExit = (exit: Exit, { id, user, logged, service }: Concern): string => {
  if (exit.how === "launch-failed") {
    const key = KEYS.find(([begin]) => exit.stage.startsWith(begin))?.[1];
    if (key !== undefined) return `Correct the cause for ${user}, or correct ${key} with \`dmctl edit ${id}\`.`;
    if (exit.stage.startsWith("entering ")) {
      if (service)
        return `Let ${user} enter that directory and those above it (chmod +x), or run it as another account.`;
      return `Make that directory and let ${user} enter it, or correct dir= with \`dmctl edit ${id}\`.`;
    }
    if (exit.stage.startsWith("running ")) return `Correct shell= with \`dmctl edit ${id}\`.`;
    if (exit.stage === "opening its log") return "Let the owner write to its log's directory, or write output=discard.";
    return "Only root can fix this; the supervisor's log has details.";
  }
  if (exit.how === "out-of-memory") {
    return `Find out what uses the memory, or allow more: memory= with \`dmctl edit ${id}\`, or root in [limits].`;
  }
  if (exit.how === "too-many-files")
    return "Keep its files elsewhere, for instance below its home, and start it again.";
  if (exit.how === "code" && exit.code === 126) {
    if (service) return `Let ${user} execute ${service.directory}/run, and the program after #! in its first line.`;
    return `Let ${user} execute that program (chmod +x), or correct start= with \`dmctl edit ${id}\`.`;
  }
  if (exit.how === "code" && exit.code === 127) {
    return `Install that program or write its whole path, or raise limit-as= where that is set: \`dmctl edit ${id}\`.`;
  }
  if (service?.logger) return `Correct the cause and start it again; its output went to ${service.directory}/log/run.`;
  return logged
    ? `Correct the cause and start it again; \`dmctl ${id} log\` shows its last lines.`
    : `Write output=log with \`dmctl edit ${id}\`; then \`dmctl ${id} log\` shows its output.`;
};

/**
 * One sentence on what to do next about a daemon; "" where nothing is wrong.
 * @param since number of the latest run before a request: earlier runs do not count
 */
export const advice = (state: State, concern: Concern, since?: number): string => {
  const { id } = concern;
  if (state.block?.kind === "forbidden" && state.block.reason.includes("[limits]")) {
    return "Remove the conf file of a daemon that is not needed, or ask root to raise the limit in [limits]; then run `dmctl rescan`.";
  }
  if (state.block?.kind === "forbidden" && state.block.reason.includes("strict-limits=yes")) {
    return "Ask root for a machine with cgroup v2, or for strict-limits=no in [settings].";
  }
  if (state.block?.bans === "owner") {
    return `Ask root to put ${ownerOf(id)} on the left of [runs_as] and to run \`dmctl rescan\`.`;
  }
  const asking = state.block?.kind === "forbidden" && /^[a-z-]+=/.exec(state.block.reason)?.[0];
  if (asking) return `Remove ${asking} with \`dmctl edit ${id}\`, or ask root to run the daemon.`;
  if (state.block?.kind === "forbidden") {
    if (concern.service) {
      const where = `${concern.service.directory}/env/USER (or user= in its conf)`;
      return `Correct ${where}, or ask root to grant it in [runs_as] and to run \`dmctl rescan\`.`;
    }
    return `Correct user= with \`dmctl edit ${id}\`, or ask root to grant it in [runs_as] and to run \`dmctl rescan\`.`;
  }
  if (state.block?.kind === "invalid") return `Correct the file; then \`dmctl start ${id}\` reads it again.`;
  if (state.last === undefined) return "";
  const isWrong = since === undefined ? isTroubled(state) : state.last.run > since;
  return isWrong ? afterExit(state.last.exit, concern) : "";
};

const isTroubled = ({ phase, failures }: State): boolean =>
  phase === "failed" || phase === "coolingdown" || (phase === "starting" && failures > 0);
