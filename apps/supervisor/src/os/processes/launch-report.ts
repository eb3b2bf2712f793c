/** Reads the report of a launch chain. */
import type { Readable } from "node:stream";
import { NOTICE } from "../../launch/stages.ts";

const LONGEST_TEXT = 4096;
/**
 * Bytes of a report that are read. Stages outside of a jail write far less, but the shell of a jail, which has the same
 * descriptor until it becomes the daemon, may be a tenant's program.
 */
const MOST_READ = 65_536;
/**
 * Longest launch after the go signal, without the time for which it reports that it waits. In ms; reading variables may take
 * 10 s of it. A program that keeps the descriptor for longer is no stage.
 */
export const LONGEST_LAUNCH = 15_000;

/** What the reader of a report calls. */
export interface ReportListener {
  /** The chain waits for something, in words; "" when it continues. */
  waiting(reason: string): void;
  /** The chain is over: the text of its failure; "" for a chain that has become the daemon, or misused the descriptor. */
  done(text: string): void;
}

/** Reads a report until its descriptor is closed. The function that is returned starts the time limit of the launch. */
export const readReport = (report: Readable, listener: ReportListener): (() => void) => {
  let text = "";
  let line = "";
  let left = MOST_READ;
  let timer: NodeJS.Timeout | undefined;
  const giveUp = (): void => {
    text = "";
    line = "";
    report.destroy();
  };
  const limit = (): void => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, LONGEST_LAUNCH);
  };
  const notice = (reason: string): void => {
    if (reason === "") limit();
    else clearTimeout(timer);
    listener.waiting(reason);
  };
  report.setEncoding("utf8");
  report.on("data", (chunk: string) => {
    left -= chunk.length;
    if (left < 0) {
      giveUp();
      return;
    }
    const lines = (line + chunk).split("\n");
    line = (lines.pop() ?? "").slice(0, LONGEST_TEXT);
    for (const each of lines) {
      if (each.startsWith(NOTICE)) notice(each.slice(NOTICE.length, LONGEST_TEXT));
      else text = `${text}${each}\n`.slice(0, LONGEST_TEXT);
    }
  });
  report.on("error", () => undefined);
  report.on("close", () => {
    clearTimeout(timer);
    listener.done(text + line);
  });
  return limit;
};
