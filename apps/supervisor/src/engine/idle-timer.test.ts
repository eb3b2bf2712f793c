import { expect, it } from "vitest";
import { IdleTimer } from "./idle-timer.ts";

/** A daemon whose timeout is 80 ms, looked at every 10 ms; `answers` is what becomes of each look, the last one repeated. */
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

it("is idle when its time without a client has passed", () => {
  expect(watch(false)).toBe(80);
  expect(watch(false, false, true, false)).toBe(110);
  expect(watch(true)).toBeUndefined();
});

it("is not said to be where nobody can tell, nor kept from it by that", () => {
  expect(watch(undefined)).toBeUndefined();
  const doubtful = Array<undefined>(20).fill(undefined);
  expect(watch(...doubtful, false)).toBe(210);
});
