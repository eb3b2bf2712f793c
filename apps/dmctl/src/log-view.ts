import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { EXIT } from "@dmhost/supervisor/contract";
import { startPager } from "./child-program.ts";
import { apiPath, type Client } from "./client.ts";
import { Failure } from "./failure.ts";
import { withoutControls, withWallClock } from "./log-text.ts";
import { isReaderGone, type Session, write } from "./session.ts";
import type { Clock } from "./tai64n.ts";

/** What part of a log is shown, and how. */
export interface LogView {
  /** How many of the last lines to begin with; undefined is all of the current file. */
  readonly lines: number | undefined;
  readonly follow: boolean;
  /** Byte for byte as it was written. */
  readonly raw: boolean;
  readonly clock: Clock;
}

const pump = async (
  source: Readable,
  view: LogView,
  escaped: boolean,
  target: Writable,
  end: boolean,
): Promise<void> => {
  const clocked = view.raw ? source : withWallClock(source, view.clock);
  try {
    await (escaped ? pipeline(withoutControls(clocked), target, { end }) : pipeline(clocked, target, { end }));
  } catch (error) {
    // Who closes the pager or pipes into head has seen enough; the supervisor's end breaking off is something else.
    if (!target.destroyed || !isReaderGone(error)) throw error;
    return;
  }
  if (!end) await write(target, "");
};

const path = (address: string, view: LogView): string => {
  const query = new URLSearchParams();
  if (view.lines !== undefined) query.set("lines", String(view.lines));
  if (view.follow) query.set("follow", "1");
  return `${apiPath("daemons", address, "log")}${query.size === 0 ? "" : `?${query}`}`;
};

/**
 * Shows a daemon's log to its end, or with `follow` until Ctrl-C: through a pager on a terminal, escaped there unless
 * raw. Throws a Failure when the supervisor goes away.
 */
export const showLog = async (client: Client, address: string, view: LogView, session: Session): Promise<number> => {
  const leave = new AbortController();
  const onInterrupt = (): void => leave.abort();
  process.once("SIGINT", onInterrupt);
  const escaped = session.terminal && !view.raw;
  try {
    const log = await client.stream({ path: path(address, view) }, leave.signal);
    if (!session.terminal || view.follow) {
      await pump(log, view, escaped, session.output, false);
    } else {
      process.off("SIGINT", onInterrupt);
      const pager = await startPager(session.env);
      try {
        await pump(log, view, escaped, pager.input, true);
      } finally {
        await pager.ended;
      }
    }
    return EXIT.done;
  } catch (error) {
    if (leave.signal.aborted) return EXIT.done;
    if (error instanceof Failure) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Failure(EXIT.unreachable, `the log of "${address}" broke off: ${reason}`);
  } finally {
    process.off("SIGINT", onInterrupt);
  }
};
