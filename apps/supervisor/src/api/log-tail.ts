/** The last lines of a daemon's log, for explanations and outcomes. */
import { dirname } from "node:path";
import type { Concern } from "../core/advice.ts";
import { labelAt, labelOf } from "../core/tai64n.ts";
import type { ControlledDaemon } from "./engine.ts";

/** Reads the bytes of a log with its owner's authority; throws errno errors. `permitted`: called again while it follows. */
export type ReadLog = (
  daemon: ControlledDaemon,
  from: {
    readonly lines: number | undefined;
    readonly since: number | undefined;
    readonly follow: boolean;
    readonly permitted?: () => boolean;
  },
) => AsyncIterable<Buffer>;

/** Bytes at the end of a log that lines are taken from: a line may have any length. */
const LONGEST = 32 * 1024;
const LONGEST_QUOTE = 300;
/** Bytes that are read at most: the owner may replace the log by anything. */
const MOST_READ = 4 * 1024 * 1024;

/** How often to look for a line that the logger has not written yet, and the pause between, in ms. */
const LOOKS = 5;
const BETWEEN_LOOKS = 20;

/** Whether the supervisor logs the output of the present run, or of the next if none lives. */
const isLogged = ({ terms, file }: ControlledDaemon): boolean =>
  (terms?.definition ?? file.definition)?.output === "log";

/** Path of the `log/run` that gets the output; undefined when there is none. */
export const loggerOf = ({ terms, file }: ControlledDaemon): string | undefined => {
  const definition = terms?.definition ?? file.definition;
  return definition?.output === "log/run" ? `${definition.service?.directory}/log/run` : undefined;
};

/** The part of a daemon that advice depends on. `user`: the account to name in it. */
export const concernOf = (daemon: ControlledDaemon, user: string): Concern => ({
  id: daemon.id,
  user,
  logged: isLogged(daemon),
  ...(daemon.file.kind === "service" && {
    service: { directory: dirname(daemon.file.path), logger: loggerOf(daemon) !== undefined },
  }),
});

/** The last lines of a log with their labels; `problem` says why there are none. */
export const readTail = async (
  daemon: ControlledDaemon,
  readLog: ReadLog,
  lines: number,
): Promise<{ lines: string[]; problem: string }> => {
  const logger = loggerOf(daemon);
  if (logger !== undefined)
    return { lines: [], problem: `${logger} writes its log; look where that program writes it` };
  if (!isLogged(daemon)) return { lines: [], problem: "it has no log: output=discard" };
  if (daemon.logDirectory === undefined) return { lines: [], problem: "it has not run yet" };
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
 * The last line that a daemon wrote since a time (ms since 1970), without its label; "" when there is none. Waits a moment
 * for the logger to write it.
 */
export const lastLogLine = async (daemon: ControlledDaemon, readLog: ReadLog, since: number): Promise<string> => {
  if (!isLogged(daemon)) return "";
  const earliest = labelAt(since);
  for (let look = 1; ; look += 1) {
    const { lines } = await readTail(daemon, readLog, 1);
    const [line = ""] = lines;
    const label = labelOf(line);
    if (label !== undefined && label >= earliest) return line.slice(label.length).trim().slice(0, LONGEST_QUOTE);
    if (look === LOOKS) return "";
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS));
  }
};
