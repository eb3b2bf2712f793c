/** Statistics of two hosts that wrk loads alternately: the number of starts, and the ratio of their answers. */
import { median } from "./median.ts";
import type { Slice } from "./wrk.ts";

/** Slices of a start that give at least one ratio: the first has the start of wrk in it, the last its end. */
const SLICES = 6;
const MOST_STARTS = 12;

/** Number of starts, and the length of each in seconds. */
export interface Starts {
  readonly count: number;
  readonly seconds: number;
}

/**
 * Divides a run of `seconds` among starts, an even number, as each host is started first in one half of them. A slice is
 * `length` ms.
 * @throws if the run is too short for two starts
 */
export const startsFor = (seconds: number, length: number): Starts => {
  const shortest = Math.ceil((SLICES * length) / 1000);
  const count = Math.min(MOST_STARTS, Math.floor(seconds / shortest / 2) * 2);
  if (count < 2) {
    throw new Error(`--seconds ${seconds} is too short for slices of ${length} ms: expected at least ${2 * shortest}`);
  }
  return { count, seconds: Math.floor(seconds / count) };
};

/** Answers of host 0 in each slice by those of host 1 in the slices before and after it; and its answers a second. */
export const compareSlices = (slices: readonly Slice[], length: number): { ratios: number[]; rates: number[] } => {
  const ratios: number[] = [];
  const rates: number[] = [];
  for (const [index, slice] of slices.entries()) {
    const [before, after] = [slices[index - 1], slices[index + 1]];
    if (index < 2 || slice.host !== 0 || before?.host !== 1 || after?.host !== 1) continue;
    rates.push((slice.answers * 1000) / length);
    ratios.push((2 * slice.answers) / (before.answers + after.answers));
  }
  return { ratios, rates };
};

/** Geometric mean of ratios, its standard error (undefined for a single one), and their median. */
interface Mean {
  readonly mean: number;
  readonly error: number | undefined;
  readonly median: number;
}

/** @throws if there is no ratio, or one that is not a positive number */
export const meanOf = (ratios: readonly number[]): Mean => {
  if (ratios.length === 0 || !ratios.every((each) => each > 0 && Number.isFinite(each))) {
    throw new Error(`cannot average the ratios [${ratios.join(", ")}]: expected at least one, each above 0`);
  }
  const logs = ratios.map(Math.log);
  const average = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;
  const mean = average(logs);
  const variance = average(logs.map((each) => (each - mean) ** 2));
  return {
    mean: Math.exp(mean),
    error: ratios.length > 1 ? Math.sqrt(variance / (logs.length - 1)) : undefined,
    median: median(ratios),
  };
};
