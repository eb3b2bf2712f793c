/** Runs one case with Debian's daemontools and with ours: the results are equal, or differ as the docs list. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { CHECKOUT } from "../program.ts";

/** Which programs run: Debian's or ours. */
export type Side = "old" | "ours";

/** Names of the rows of the table in docs/reference/daemontools.md. */
const LISTED = new Set(
  [...readFileSync(join(CHECKOUT, "docs/reference/daemontools.md"), "utf8").matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(
    ([, name]) => name ?? "",
  ),
);

/** Returns the names of the differences that the documentation lists. */
export const listedDifferences = (): ReadonlySet<string> => LISTED;

/** Copies our tools into `directory`, where every account can run them; returns the path of the copy. */
export const copyTools = (directory: string): string => {
  const tools = join(directory, "daemontools");
  cpSync(join(CHECKOUT, "daemontools"), tools, { recursive: true });
  return tools;
};

/** Results of both sides. */
interface Seen<T> {
  readonly old: T;
  readonly ours: T;
}

/** Expected result of each side, for toEqual. */
export interface Sides {
  readonly old: unknown;
  readonly ours: unknown;
}

/**
 * Runs both sides and compares the results. With a `difference` each result must equal the expected one, the results must
 * differ, and the documentation must list the difference; without one the results must be equal.
 */
export async function compare<T>(attempt: (side: Side) => Promise<T> | T, difference: undefined): Promise<Seen<T>>;
export async function compare<T>(
  attempt: (side: Side) => Promise<T> | T,
  difference: string | undefined,
  expected: Sides | undefined,
): Promise<Seen<T>>;
export async function compare<T>(
  attempt: (side: Side) => Promise<T> | T,
  difference: string | undefined,
  expected?: Sides,
): Promise<Seen<T>> {
  const seen = { old: await attempt("old"), ours: await attempt("ours") };
  if (difference === undefined) {
    expect(seen.ours).toEqual(seen.old);
  } else {
    expect(LISTED).toContain(difference);
    expect(expected, `expected results of "${difference}"`).toBeDefined();
    expect(seen).toEqual(expected);
    expect(seen.ours, `"${difference}" is listed, but there is no difference`).not.toEqual(seen.old);
  }
  return seen;
}
