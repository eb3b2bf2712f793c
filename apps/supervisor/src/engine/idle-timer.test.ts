import { expect, it } from "vitest";
import { IdleTimer } from "./idle-timer.ts";

/** When a daemon with a timeout of 80 ms is idle. It is checked every 10 ms; `answers` are the results, the last one repeats. */
const watch = (...answers: (boolean | undefined)[]): number | undefined => {
  let now = 0;
  let next: (() => void) | undefined;
  let idleAt: number | undefined;
  const machine = {
    now: () => now,
    after: (delay: number, then: () => void) => {
      next = () => {
        now += delay;
        then();
      };
      return () => undefined;
    },
  };
  const busy = () => (answers.length > 1 ? answers.shift() : answers[0]);
  const idle = () => {
    idleAt = now;
  };
  new IdleTimer(machine, { timeout: () => (idleAt === undefined ? 80 : undefined), busy, idle }).watch();
  for (let look = 0; look < 50 && idleAt === undefined; look += 1) next?.();
  return idleAt;
};

it("a daemon is idle when it had no client for its timeout", () => {
  expect(watch(false)).toBe(80);
  expect(watch(false, false, true, false)).toBe(110);
  expect(watch(true)).toBeUndefined();
});

it("client checks without an answer neither make a daemon idle nor restart its timeout", () => {
  expect(watch(undefined)).toBeUndefined();
  const doubtful = Array<undefined>(20).fill(undefined);
  expect(watch(...doubtful, false)).toBe(210);
});

it("a daemon that cannot be idle any more is no longer checked", () => {
  let checks = 0;
  const timers: (() => void)[] = [];
  const after = (_delay: number, then: () => void) => {
    timers.push(then);
    return () => undefined;
  };
  const clock = { now: () => 0, after };
  let timeout: number | undefined = 80;
  const busy = () => {
    checks += 1;
    return false;
  };
  new IdleTimer(clock, { timeout: () => timeout, busy, idle: () => undefined }).watch();
  timeout = undefined;
  for (const then of timers.splice(0)) then();
  expect([checks, timers.length]).toEqual([0, 0]);
});
