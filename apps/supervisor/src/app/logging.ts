/** The supervisor's own log: one JSON object a line on standard error. */
import { type Logger, pino } from "pino";
import { describeExit } from "../core/lifecycle.ts";
import type { TransitionListener } from "../engine/daemon.ts";

/** How long the end waits for its last lines to be written. In ms. */
const LONGEST_FLUSH = 1000;
/** Bytes of log that wait for a reader; more are dropped, because no daemon may wait for that. */
const LONGEST_BACKLOG = 1 << 20;

/** Opens the log at standard error. */
export const openLog = (level: string): Logger => {
  const output = pino.destination({ dest: 2, sync: false, maxLength: LONGEST_BACKLOG });
  // Lines that a full disk refuses are tried again with the next line, and not at the end, which would wait for ever.
  const flush = output.flushSync;
  output.on("error", () => {
    output.flushSync = () => undefined;
  });
  output.on("write", () => {
    output.flushSync = flush;
  });
  return pino({ level, base: null }, output);
};

/** Ends the process when its last lines are written, or cannot be. */
export const flushAndExit = (log: Logger): void => {
  log.flush(() => process.exit(0));
  setTimeout(() => process.exit(0), LONGEST_FLUSH);
};

/** Logs each transition of an instance: warnings where it does not run any more, debug where nothing visible has changed. */
export const logTransitions =
  (log: Pick<Logger, "debug" | "info" | "warn">): TransitionListener =>
  (daemon, { key, pid }, event, before, after, told) => {
    const { owner, instance } = key;
    const about = { daemon: daemon.id, owner: owner.name, instance, run: after.run, event, pid };
    const ended = event === "exited" && after.last ? describeExit(after.last.exit) : undefined;
    const reason = told ?? ended ?? (after.block ? after.block.reason : undefined);
    const level =
      after.phase === "failed" || after.phase === "forbidden" || after.phase === "invalid" ? "warn" : "info";
    log[before.phase === after.phase && !reason ? "debug" : level](
      { ...about, ...(reason && { reason }) },
      after.phase,
    );
  };
