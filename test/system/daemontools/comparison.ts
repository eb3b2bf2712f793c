/** The same case in front of Debian's daemontools and of ours: alike, or different for a reason that the docs list. */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { CHECKOUT } from "../program.ts";

/** Whose programs are tried. */
export type Side = "old" | "ours";

/** A row of the table in docs/reference/daemontools.md, by its name. */
const LISTED = new Set(
  [...readFileSync(join(CHECKOUT, "docs/reference/daemontools.md"), "utf8").matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(
    ([, name]) => name ?? "",
  ),
);

/** Names of the differences that the documentation lists. */
export const listedDifferences = (): ReadonlySet<string> => LISTED;

/** Our folder where every account can run it, copied into `directory`; gives the path of the copy. */
export const copyTools = (directory: string): string => {
  const tools = join(directory, "daemontools");
  cpSync(join(CHECKOUT, "daemontools"), tools, { recursive: true });
  return tools;
};

/** What the two sides have shown. */
export interface Seen<T> {
  readonly old: T;
  readonly ours: T;
}

/** What each side is expected to show, as toEqual takes it. */
export interface Sides {
  readonly old: unknown;
  readonly ours: unknown;
}

/**
 * Tries both sides and compares what was seen. With a `difference` each must show what is expected of it, not both the same,
 * and the documentation must list it; without one they must show the same.
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
    expect(expected, `what "${difference}" comes to`).toBeDefined();
    expect(seen).toEqual(expected);
    expect(seen.ours, `"${difference}" is listed, but there is no difference`).not.toEqual(seen.old);
  }
  return seen;
}
