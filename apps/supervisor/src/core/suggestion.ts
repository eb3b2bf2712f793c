/** Names that are listed at most: a longer list does not help. */
const MOST_LISTED = 12;

/**
 * The text after "unknown ...": `did you mean "x"?` where one of `known` is near, else `expected one of "x", "y"`, or,
 * where those are many, `many`: where they are listed.
 */
export function suggestion(
  word: string,
  known: readonly string[],
  many = `expected one of the ${known.length} in the manual`,
): string {
  const near = nearest(word, known);
  if (near === undefined && known.length > MOST_LISTED) return many;
  return near === undefined
    ? `expected one of ${known.map((name) => `"${name}"`).join(", ")}`
    : `did you mean "${near}"?`;
}

/** The name in `nearMatch`, or undefined where none is near. */
export const nearest = (word: string, known: readonly string[]): string | undefined => nearMatch(word, known)?.name;

/**
 * The entry of `known` that `word` most probably misspells, and its edit distance: the smallest, at most a third of the
 * letters of the entry (at least one), ignoring case and with `_` as `-`. undefined where none is near; an entry of one
 * letter never is.
 */
export function nearMatch(word: string, known: readonly string[]): { name: string; distance: number } | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const allowed = Math.max(1, Math.floor(name.length / 3));
    if (name.length < 2 || Math.abs(word.length - name.length) > allowed) continue;
    const distance = editDistance(plain(word), plain(name));
    if (distance <= allowed && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) best = { name, distance };
  }
  return best;
}

const plain = (word: string): string => word.toLowerCase().replaceAll("_", "-");

/** Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? at(beforeLast, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(substitution, swap, at(last, j) + 1, at(row, j - 1) + 1));
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

const at = (row: readonly number[], index: number): number => row[index] ?? Number.POSITIVE_INFINITY;
