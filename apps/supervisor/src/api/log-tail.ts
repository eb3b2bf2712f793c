/** The end of a daemon's log, for answers that are about more than the log. */
import { dirname } from "node:path";
import type { Concern } from "../core/advice.ts";
import { labelAt } from "../core/tai64n.ts";
import type { Daemon } from "../engine/daemon.ts";

/** Reads a log's bytes with its owner's authority; errno errors. */
export type ReadLog = (
  daemon: Daemon,
  from: {
    readonly lines: number | undefined;
    readonly since: number | undefined;
    readonly follow: boolean;
    readonly permitted?: () => boolean;
  },
) => AsyncIterable<Buffer>;

/** Longest end of a log that is quoted, in bytes: a line may be of any length. */
const LONGEST = 32 * 1024;
const LONGEST_QUOTE = 300;
/** Bytes that are read at most: its owner may put anything in the log's place. */
const MOST_READ = 4 * 1024 * 1024;

/** How often, and how long in ms, a logger is waited for that has not written yet. */
const LOOKS = 5;
const BETWEEN_LOOKS = 20;

/** Whether what the daemon writes is kept, by what its present run, or else its file, says. */
export const isLogged = ({ terms, file }: Daemon): boolean => (terms?.definition ?? file.definition)?.output === "log";

/** The `log/run` that has the daemon's output, where it is that which keeps it. */
export const loggerOf = ({ terms, file }: Daemon): string | undefined => {
  const definition = terms?.definition ?? file.definition;
  return definition?.output === "log/run" ? `${definition.service?.directory}/log/run` : undefined;
};

/** A daemon as advice needs to know it. */
export const concernOf = (daemon: Daemon, user: string): Concern => ({
  id: daemon.id,
  user,
  logged: isLogged(daemon),
  ...(daemon.file.kind === "service" && {
    service: { directory: dirname(daemon.file.path), logger: loggerOf(daemon) !== undefined },
  }),
});

/** The last lines of a log, stamps and all; `problem` says why there are none. */
export const readTail = async (
  daemon: Daemon,
  readLog: ReadLog,
  lines: number,
): Promise<{ lines: string[]; problem: string }> => {
  const logger = loggerOf(daemon);
  if (logger !== undefined) return { lines: [], problem: `${logger} keeps its log, and alone knows where` };
  if (!isLogged(daemon)) return { lines: [], problem: "it keeps no log: output=discard" };
  if (daemon.logDirectory === undefined) return { lines: [], problem: "it has not run, so has written nothing" };
  let tail = Buffer.alloc(0);
  let length = 0;
  try {
    for await (const chunk of readLog(daemon, { lines, since: undefined, follow: false })) {
      tail = Buffer.concat([tail, chunk]).subarray(-LONGEST);
      length += chunk.length;
      if (length > MOST_READ) break;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const problem = code === "ENOENT" ? "nothing has been written yet" : `cannot be read: ${code ?? message}`;
    return { lines: [], problem };
  }
  const text = tail.toString("utf8").replace(/\n$/, "");
  return text === "" ? { lines: [], problem: "it is empty" } : { lines: text.split("\n").slice(-lines), problem: "" };
};

/**
 * The last line that a daemon wrote since a moment (ms since 1970), without its stamp; "" when there is none. Its logger
 * is given a moment to write it.
 */
export const lastWords = async (daemon: Daemon, readLog: ReadLog, since: number): Promise<string> => {
  if (!isLogged(daemon)) return "";
  const earliest = labelAt(since);
  for (let look = 1; ; look += 1) {
    const { lines } = await readTail(daemon, readLog, 1);
    const [, stamp = "", words = ""] = /^(@[0-9a-f]{24}) (.*)$/.exec(lines[0] ?? "") ?? [];
    if (stamp >= earliest) return words.trim().slice(0, LONGEST_QUOTE);
    if (look === LOOKS) return "";
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS));
  }
};
