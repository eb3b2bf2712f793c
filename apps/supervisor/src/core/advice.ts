/** What an exit means, and what somebody whose daemon is not as wished should do next. */
import type { Exit, State } from "./lifecycle.ts";

/** What advice needs to know of a daemon besides its state. */
export interface Concern {
  readonly id: string;
  /** Account that it runs as. */
  readonly user: string;
  /** Whether what it writes is kept. */
  readonly logged: boolean;
  /** Its service directory, where it is made of one, and whether that has a `log/run`. */
  readonly service?: { readonly directory: string; readonly logger: boolean };
}

const FAULTS: ReadonlySet<string> = new Set(["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS"]);
const REQUESTS: ReadonlySet<string> = new Set(["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"]);
/** A POSIX shell adds it to the number of the signal that ended what it ran. */
const SIGNALLED = 128;
const LAST_SIGNAL = 64;

/** What lies behind an exit, beyond its words (describeExit); "" where those say it all. */
export const meaning = (exit: Exit): string => {
  switch (exit.how) {
    case "launch":
      return "the program was never begun";
    case "unready":
      return "a program that ready=fd:N or notify is not made for looks like this, too";
    case "unknown":
      return "only the supervisor that started it could have been told how";
    case "signal":
      if (exit.cause === "stop-timeout") return "it ignored TERM, so was killed after stop-timeout";
      if (exit.cause === "memory") return "the kernel killed it for want of memory";
      if (exit.signal === "SIGKILL") return "somebody's kill -9, or the kernel for want of memory";
      if (FAULTS.has(exit.signal)) return "a fault in the program";
      return REQUESTS.has(exit.signal) ? "it was told to end" : "";
    case "memory":
      return "it took more than it may have, all its processes together";
    case "files":
      return "all daemons share the room there; it is for a socket, and for a lock or a pid file";
    case "code":
      if (exit.cause === "memory") return "the kernel killed one of its processes for want of memory";
      if (exit.code === 0) return "it ended of its own will; one that goes into the background looks like this, too";
      if (exit.code > SIGNALLED && exit.code <= SIGNALLED + LAST_SIGNAL) {
        return `the shell's way to say that what it ran was ended by signal ${exit.code - SIGNALLED}`;
      }
      return exit.code === 126 || exit.code === 127 ? "" : "the program's own code; its manual says what it stands for";
  }
};

/** The keys that stages of a launch come from, where its owner can put right what fails there. */
const KEYS: readonly (readonly [string, string])[] = [
  ["entering the jail", "chroot="],
  ["locking ", "lock="],
  ["reading env-dir ", "env-dir="],
  ["reading env-file ", "env-file="],
  ["putting the variables ", "env-dir= or env-file="],
  ["setting nice ", "nice="],
  ["setting limits", "the limit-... keys"],
  ["starting within limit-nofile", "limit-nofile="],
  ["starting within its memory limits", "limit-as=, limit-data=, limit-stack= or memory="],
  ["starting within its process limits", "limit-nproc= or processes="],
  ["running the shell within the jail", "shell= or chroot="],
];

/** What to do after such an end: one sentence. */
const afterExit = (exit: Exit, { id, user, logged, service }: Concern): string => {
  if (exit.how === "launch") {
    const key = KEYS.find(([begin]) => exit.stage.startsWith(begin))?.[1];
    if (key !== undefined) return `Put that right for ${user}, or correct ${key} with \`dmctl edit ${id}\`.`;
    if (exit.stage.startsWith("entering ")) {
      if (service)
        return `Let ${user} enter that directory and those above it (chmod +x), or run it as another account.`;
      return `Make that directory so that ${user} may enter it, or correct dir= with \`dmctl edit ${id}\`.`;
    }
    if (exit.stage.startsWith("running ")) return `Correct shell= with \`dmctl edit ${id}\`.`;
    if (exit.stage === "opening its log") return "Let the owner write to its log's directory, or write output=discard.";
    return "This is for root to put right; the supervisor's log says more.";
  }
  if (exit.how === "memory") {
    return `Find what fills its memory, or give it more: memory= with \`dmctl edit ${id}\`, or root in [limits].`;
  }
  if (exit.how === "files") return "Let it keep its files elsewhere, below its home for instance, and start it again.";
  if (exit.how === "code" && exit.code === 126) {
    if (service) return `Let ${user} execute ${service.directory}/run, and the program after #! in its first line.`;
    return `Let ${user} execute that program (chmod +x), or correct start= with \`dmctl edit ${id}\`.`;
  }
  if (exit.how === "code" && exit.code === 127) {
    return `Install that program or write its whole path: \`dmctl edit ${id}\`.`;
  }
  if (service?.logger) return `Put that right and start it again; what it wrote went to ${service.directory}/log/run.`;
  return logged
    ? `Put that right and start it again; \`dmctl ${id} log\` shows what it wrote last.`
    : `Write output=log with \`dmctl edit ${id}\`; then \`dmctl ${id} log\` shows what it says.`;
};

/**
 * One sentence on what to do next about a daemon; "" where nothing is amiss.
 * @param since given by one who asked for something: number of the latest run then, of which no news is wanted
 */
export const advice = (state: State, concern: Concern, since?: number): string => {
  const { id } = concern;
  if (state.block?.kind === "forbidden" && state.block.reason.includes("[limits]")) {
    return "Remove the file of one that is not needed, or ask root for more in [limits]; then `dmctl rescan`.";
  }
  if (state.block?.kind === "forbidden" && state.block.reason.includes("strict-limits=yes")) {
    return "Ask root for a machine with cgroup v2, or for strict-limits=no in [settings].";
  }
  if (state.block?.bans === "owner") {
    return `Ask root to put ${id.split("/")[0]} on the left of [runs_as] and to run \`dmctl rescan\`.`;
  }
  const asking = state.block?.kind === "forbidden" && /^[a-z-]+=/.exec(state.block.reason)?.[0];
  if (asking) return `Take ${asking} out with \`dmctl edit ${id}\`, or let root keep that daemon.`;
  if (state.block?.kind === "forbidden") {
    if (concern.service) {
      const where = `${concern.service.directory}/env/USER (or user= in its conf)`;
      return `Correct ${where}, or ask root to grant it in [runs_as] and to run \`dmctl rescan\`.`;
    }
    return `Correct user= with \`dmctl edit ${id}\`, or ask root to grant it in [runs_as] and to run \`dmctl rescan\`.`;
  }
  if (state.block?.kind === "invalid") return `When that is put right, \`dmctl start ${id}\` reads the file again.`;
  if (state.last === undefined) return "";
  const amiss = since === undefined ? isTroubled(state) : state.last.run > since;
  return amiss ? afterExit(state.last.exit, concern) : "";
};

const isTroubled = ({ phase, failures }: State): boolean =>
  phase === "failed" || phase === "coolingdown" || (phase === "starting" && failures > 0);
