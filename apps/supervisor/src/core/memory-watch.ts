/** Which run must end where no cgroup holds memory: by the sizes of all runs at one moment. */

/** A run and its size. */
export interface Sized<T> {
  readonly run: T;
  readonly owner: string;
  /** Id of its daemon. */
  readonly daemon: string;
  /** Bytes that all runs of its daemon may have together; undefined is without limit. */
  readonly limit: number | undefined;
  /** The same of its owner. */
  readonly budget: number | undefined;
  /** Bytes. */
  readonly size: number;
}

/** A run that is to end: the limit that was passed, and what stood against it, in bytes. */
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

/** The largest ones of a group, until what is left is within the limit. */
const surplus = <T>(group: readonly Sized<T>[], limit: number | undefined): Overdrawn<T>[] => {
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

/** Those that are too much for their daemon, and then for their owner. */
export const overdrawn = <T>(runs: readonly Sized<T>[]): readonly Overdrawn<T>[] => {
  const own = grouped(runs, ({ daemon }) => daemon).flatMap((group) => surplus(group, group[0]?.limit));
  const ending = new Set(own.map(({ run }) => run));
  const left = runs.filter(({ run }) => !ending.has(run));
  return [...own, ...grouped(left, ({ owner }) => owner).flatMap((group) => surplus(group, group[0]?.budget))];
};

/** From one look to the next, in ms. */
const SHORTEST_PAUSE = 250;
/** How much longer the pause is than the look: looking takes at most 2 % of a processor. */
const PAUSE_FACTOR = 50;

/** How long to wait after a look that took so long, in ms. */
export const pauseAfter = (look: number): number => Math.max(SHORTEST_PAUSE, look * PAUSE_FACTOR);
