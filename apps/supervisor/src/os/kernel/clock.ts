/** The port clock: the kernel's monotonic clock, which continues across a re-exec of the supervisor. */
import type { Clock } from "../../engine/ports/clock.ts";
import { threadClock } from "./cpu-budget.ts";

export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  used: threadClock.used,
  random: () => Math.random(),
  after: (delay, then) => {
    const timer = setTimeout(then, Math.ceil(delay));
    return () => clearTimeout(timer);
  },
};
