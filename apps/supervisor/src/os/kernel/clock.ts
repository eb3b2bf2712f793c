/** The port clock: the kernel's monotonic clock, which continues across a re-exec of the supervisor. */
import type { Clock } from "../../engine/ports/clock.ts";
import { threadClock } from "./cpu-budget.ts";

export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  used: threadClock.used,
  random: () => Math.random(),
  after: (delay, then) => {
    let called: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      // Events that were waiting already come first: on a busy machine they can be older than the deadline.
      called = setImmediate(then);
    }, Math.ceil(delay));
    return () => {
      clearTimeout(timer);
      clearImmediate(called);
    };
  },
};
