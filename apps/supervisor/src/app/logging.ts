/** The supervisor's own log: one JSON object a line on standard error. */
import { type Logger, pino } from "pino";
import { describeExit } from "../core/exit.ts";
import type { TransitionListener } from "../engine/daemon.ts";

/** Time for the last lines to be written before the process ends. In ms. */
const LONGEST_FLUSH = 1000;
/**
 * Bytes of log that are buffered for a slow reader, and while thousands of daemons start or stop in one turn of the event loop;
 * more are dropped, because daemons must not wait for it.
 */
const LONGEST_BACKLOG = 8 << 20;

/** Opens the log on standard error. */
export const openLog = (level: string): Logger => {
  const output = pino.destination({ dest: 2, sync: false, maxLength: LONGEST_BACKLOG });
  // pino retries lines that a full disk refuses with the next line. At the end it would retry for ever, so there it must not.
  const flush = output.flushSync;
  output.on("error", () => {
    output.flushSync = () => undefined;
  });
  output.on("write", () => {
    output.flushSync = flush;
  });
  return pino({ level, base: null }, output);
};

/** Ends the process once its last lines are written, or after a second. */
export const flushAndExit = (log: Logger): void => {
  log.flush(() => process.exit(0));
  setTimeout(() => process.exit(0), LONGEST_FLUSH);
};

/** Logs each transition of an instance: as a warning when the supervisor gave up, as debug when the phase is unchanged. */
export const logTransitions =
  (log: Pick<Logger, "debug" | "info" | "warn">): TransitionListener =>
  (daemon, { key, pid }, event, before, after, cause) => {
    const { owner, instance } = key;
    const about = { daemon: daemon.id, owner: owner.name, instance, run: after.run, event, pid };
    const ended = event === "exited" && after.last ? describeExit(after.last.exit) : undefined;
    const reason = cause ?? ended ?? (after.block ? after.block.reason : undefined);
    const level =
      after.phase === "failed" || after.phase === "forbidden" || after.phase === "invalid" ? "warn" : "info";
    // Nothing is launched: a line for each of thousands of sites would say no more than their number does.
    const isQuiet = before.phase === after.phase || (event === "start" && after.phase === "asleep");
    log[isQuiet && !reason ? "debug" : level]({ ...about, ...(reason && { reason }) }, after.phase);
  };
