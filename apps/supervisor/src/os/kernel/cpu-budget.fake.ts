import type { CpuClock } from "./cpu-budget.ts";

/** The clocks of a thread that uses the processor all the time. @param now the time, in ms */
export const busyThread = (now: () => number): CpuClock => ({ now, used: now });
