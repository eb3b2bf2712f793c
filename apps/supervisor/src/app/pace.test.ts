import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { inTurns, pace } from "./pace.ts";

/** Work of so many slices; each takes 10 ms by the clock that is returned. */
const work = (slices: number) => {
  let time = 0;
  const done: number[] = [];
  const slicesOf = function* () {
    for (let slice = 1; slice <= slices; slice += 1) {
      time += 10;
      done.push(slice);
      yield;
    }
    return done;
  };
  return { done, slices: slicesOf(), pause: pace(() => time) };
};

test("the event loop turns after some slices of long work", async () => {
  const { done, slices, pause } = work(5);
  const result = inTurns(slices, pause);
  const seen: number[] = [];
  while (done.length < 5) {
    await nextTurn();
    seen.push(done.length);
  }
  expect(seen).toEqual([2, 4, 5]);
  expect(await result).toBe(done);
});

test("short work is performed in one turn", async () => {
  const { done, slices, pause } = work(1);
  await inTurns(slices, pause);
  expect(done).toEqual([1]);
});
