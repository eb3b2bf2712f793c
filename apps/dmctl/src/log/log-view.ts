import type { Writable } from "node:stream";
import { type Client, Failure } from "@dmhost/client";
import { EXIT, type LogQuery, MOST_LOG_LINES } from "@dmhost/contract";
import type { WallClock } from "@dmhost/supervisor/tai64n";
import { count } from "@dmhost/supervisor/units";
import { startPager } from "../child-program.ts";
import type { Invocation } from "../commands/command.ts";
import { misuse } from "../failure.ts";
import { readMoment } from "../moment.ts";
import { isReaderGone, type Session, write } from "../session.ts";
import { from, matching, withoutControls, withWallClock } from "./log-text.ts";

/** Options of a command line. */
type Request = Pick<Invocation, "given" | "values">;

/** With how many lines `dmctl tail` begins. */
const TAIL = 10;

/** The part of a log that is shown, and how. */
interface LogView {
  /** Number of last lines to begin with; undefined: all of the current file. */
  readonly lines: number | undefined;
  readonly follow: boolean;
  /** Only lines of this moment and later, in ms since 1970; 0 is all that there is, rotated files included. */
  readonly since: number | undefined;
  /** Only lines whose text it matches. */
  readonly pattern: RegExp | undefined;
  /** Byte for byte. */
  readonly raw: boolean;
  /** How stamps are shown; undefined: unchanged. */
  readonly clock: WallClock | undefined;
}

const CUT_SHORT = "the supervisor closed it: it has stopped, the log's files are gone, or you may no longer read it";
const readPattern = (text: string | undefined): RegExp | undefined => {
  try {
    return text === undefined ? undefined : new RegExp(text, "u");
  } catch (error) {
    throw misuse(`--grep: ${error instanceof Error ? error.message : error}`);
  }
};

const LINES = count({ most: MOST_LOG_LINES });

const readLines = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const lines = LINES.read(text);
  if (lines === undefined) throw misuse(`--lines: expected ${LINES.expected}, found "${text}"`);
  return lines;
};

const readSince = ({ values: { since }, given }: Request, now: number): number | undefined => {
  if (since === undefined) return given.has("all") ? 0 : undefined;
  if (given.has("all")) throw misuse("--all and --since exclude each other");
  const moment = readMoment(since, now);
  if (moment === undefined) {
    throw misuse(`--since: expected a duration such as 1h30m or a time such as 2026-11-21T10:00, found "${since}"`);
  }
  return Math.max(0, moment);
};

/**
 * Reads the options of a command line. Throws a Failure (usage).
 * @param from "tail": begin with the last lines where no option says otherwise
 * @param now ms since 1970
 */
export const readView = (call: Request, follow: boolean, from: "tail" | undefined, now: number): LogView => {
  const { given, values } = call;
  const since = readSince(call, now);
  if (since !== undefined && given.has("lines")) throw misuse("--lines does not go together with --all or --since");
  const [first, second] = (["raw", "tai64n", "utc"] as const).filter((name) => given.has(name));
  if (second !== undefined) throw misuse(`--${first} and --${second} exclude each other`);
  const begin = from === "tail" && since === undefined ? TAIL : undefined;
  const lines = readLines(values.lines) ?? begin;
  const clock = given.has("tai64n") ? undefined : given.has("utc") ? "utc" : "local";
  return { lines, follow, since, pattern: readPattern(values.grep), raw: given.has("raw"), clock };
};

async function* buffers(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const { buffer, byteOffset, byteLength } of source) yield Buffer.from(buffer, byteOffset, byteLength);
}

/** Moves the log, chunk by chunk, as fast as the reader takes it. Resolves with whether the reader went away first. */
const pump = async (
  source: AsyncIterable<Uint8Array>,
  view: LogView,
  escaped: boolean,
  target: Writable,
): Promise<boolean> => {
  let lines: AsyncIterable<Buffer> = buffers(source);
  if (view.since) lines = from(lines, view.since);
  if (view.pattern) lines = matching(lines, view.pattern);
  const clocked = view.raw || view.clock === undefined ? lines : withWallClock(lines, view.clock);
  // Each write reports its error; without a listener the later event would throw.
  target.on("error", () => {});
  for await (const chunk of escaped ? withoutControls(clocked) : clocked) {
    try {
      await write(target, chunk);
    } catch (error) {
      if (isReaderGone(error)) return true;
      throw new Failure("failed", `cannot write the log: ${error instanceof Error ? error.message : error}`);
    }
  }
  return false;
};

const queryOf = ({ lines, since, follow }: LogView): LogQuery => ({
  ...(lines !== undefined && { lines }),
  ...(since !== undefined && { since }),
  ...(follow && { follow: "1" }),
});

/**
 * Shows a daemon's log to its end, or with `follow` until Ctrl-C: through a pager on a terminal, escaped there unless
 * raw. Throws a Failure when it breaks off.
 */
export const showLog = async (client: Client, address: string, view: LogView, session: Session): Promise<number> => {
  const leave = new AbortController();
  const onInterrupt = (): void => leave.abort();
  const escaped = session.terminal && !view.raw;
  const brokeOff = new Failure("unreachable", `the log of "${address}" broke off: ${CUT_SHORT}`);
  process.on("SIGINT", onInterrupt);
  let begun = false;
  try {
    const log = await client.stream("readLog", { params: { address }, query: queryOf(view) }, leave.signal);
    begun = true;
    if (session.terminal && !view.follow) {
      process.off("SIGINT", onInterrupt);
      const pager = await startPager(session.env);
      try {
        await pump(log, view, escaped, pager.input);
      } finally {
        pager.input.end();
        await pager.ended;
      }
    } else {
      const gone = await pump(log, view, escaped, session.output);
      if (view.follow && !gone) throw brokeOff;
    }
    return EXIT.done;
  } catch (error) {
    if (leave.signal.aborted) return EXIT.done;
    throw begun && error instanceof Failure && error.code === "unreachable" ? brokeOff : error;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
};
