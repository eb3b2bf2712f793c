/** Selects the runs that must end where no cgroup limits memory, by the sizes of all runs at one moment. */

/** A run and its size. */
export interface Sized<T> {
  readonly run: T;
  readonly owner: string;
  /** Id of its daemon. */
  readonly daemon: string;
  /** Bytes that all runs of its daemon may have together; undefined is without limit. */
  readonly limit: number | undefined;
  /** Bytes that all runs of its owner may have together; undefined is without limit. */
  readonly budget: number | undefined;
  /** Bytes. */
  readonly size: number;
}

/** A run that must end: the limit, and the size that exceeds it, in bytes. */
export interface Overdrawn<T> {
  readonly run: T;
  readonly limit: number;
  readonly size: number;
}

const grouped = <T>(runs: readonly Sized<T>[], of: (run: Sized<T>) => string): Sized<T>[][] => {
  const groups = new Map<string, Sized<T>[]>();
  for (const run of runs) groups.set(of(run), [...(groups.get(of(run)) ?? []), run]);
  return [...groups.values()];
};

/** The largest runs of a group, as many as it takes for the rest to be within the limit. */
const excess = <T>(group: readonly Sized<T>[], limit: number | undefined): Overdrawn<T>[] => {
  if (limit === undefined) return [];
  const found: Overdrawn<T>[] = [];
  let size = group.reduce((sum, each) => sum + each.size, 0);
  for (const largest of [...group].sort((a, b) => b.size - a.size)) {
    if (size <= limit) break;
    found.push({ run: largest.run, limit, size });
    size -= largest.size;
  }
  return found;
};

/** The runs that exceed the limit of their daemon, and then those of the rest that exceed the budget of their owner. */
export const overdrawn = <T>(runs: readonly Sized<T>[]): readonly Overdrawn<T>[] => {
  const own = grouped(runs, ({ daemon }) => daemon).flatMap((group) => excess(group, group[0]?.limit));
  const ending = new Set(own.map(({ run }) => run));
  const left = runs.filter(({ run }) => !ending.has(run));
  return [...own, ...grouped(left, ({ owner }) => owner).flatMap((group) => excess(group, group[0]?.budget))];
};

/** Shortest pause between two measurements, in ms. */
const SHORTEST_PAUSE = 250;
/** Ratio of a pause to a measurement: measuring takes at most 2 % of a processor. */
const PAUSE_FACTOR = 50;

/** Pause after a measurement that took this long. Both in ms. */
export const pauseAfter = (measurement: number): number => Math.max(SHORTEST_PAUSE, measurement * PAUSE_FACTOR);
