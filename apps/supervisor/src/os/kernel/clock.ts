import type { Clock } from "../../engine/ports/clock.ts";

/** The kernel's monotonic clock: it continues when the supervisor is replaced. */
export const systemClock: Clock = {
  now: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  random: () => Math.random(),
  after: (delay, then) => {
    const timer = setTimeout(then, Math.ceil(delay));
    return () => clearTimeout(timer);
  },
};
