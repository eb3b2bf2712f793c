/** When the next try is due (docs/reference/lifecycle.md#back-off). */

/** Delay after the second failed run in a row, and the longest one. In ms. */
export const FIRST_DELAY = 200;
export const LONGEST_DELAY = 60_000;
/** Jitter, as a part of the delay: daemons that fail for one cause do not all restart at once. */
const JITTER = 0.1;

/**
 * Milliseconds to wait after the `failures`-th failed run in a row (1 is the first): 0, 200, 400, 800 ... 60 000,
 * the longer ones spread by a tenth.
 * @param random from [0, 1)
 */
export const retryDelay = (failures: number, random: number): number => {
  if (failures <= 1) return 0;
  const delay = Math.min(FIRST_DELAY * 2 ** (failures - 2), LONGEST_DELAY);
  return Math.min(delay * (1 + JITTER * (2 * random - 1)), LONGEST_DELAY);
};

/** Shortest time from one start to the next after a run that has not failed, in ms: after a crash, or a clean exit. */
export const spacing = (clean: boolean): number => (clean ? 10 : 100);
