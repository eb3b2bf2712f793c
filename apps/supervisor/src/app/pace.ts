/** Long work that leaves room for requests: the event loop turns between its slices. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Slices } from "../engine/slices.ts";

/** Longest work between two turns of the event loop, in ms: an answer takes some turns. */
const LONGEST = 20;

/** To be awaited between slices: returns at once, or after other work where the last turn was long ago. */
export const pace = (now = () => performance.now()): (() => Promise<void>) => {
  let turned = now();
  return async () => {
    if (now() - turned < LONGEST) return;
    await nextTurn();
    turned = now();
  };
};

/** Performs the slices. */
export const inTurns = async <T>(work: Slices<T>, pause = pace()): Promise<T> => {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await pause();
  }
};
