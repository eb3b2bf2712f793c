/** Work in slices: its caller decides what happens between two of them. */

/** Pauses after each slice; returns the result. */
export type Slices<T> = Generator<undefined, T>;

/** Performs all slices one after another. */
export const atOnce = <T>(work: Slices<T>): T => {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
};
