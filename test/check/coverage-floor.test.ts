/** The coverage floors in vitest.config.ts only rise: none is below that of the branch's base on main, or of the last commit. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const CONFIG = "vitest.config.ts";

/** Output of a git command; undefined where it fails, as without git or in a shallow clone. */
const git = (...args: string[]): string | undefined => {
  try {
    return execFileSync("git", args, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return undefined;
  }
};

/** The floors in a configuration's text, e.g. `core lines: 97`. */
const floorsIn = (config: string): Map<string, number> =>
  new Map(
    [...config.matchAll(/^ +"(.+)\/\*\*": \{ (.+) \},$/gm)].flatMap(([, room = "", floors = ""]) =>
      floors.split(", ").map((floor) => {
        const [measure = "", value = ""] = floor.split(": ");
        return [`${room} ${measure}`, Number(value)] as const;
      }),
    ),
  );

/** The floors that are gone or lower than before. */
const fallen = (before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): string[] =>
  [...before].filter(([name, floor]) => !((now.get(name) ?? 0) >= floor)).map(([name, floor]) => `${name}: ${floor}`);

const now = floorsIn(readFileSync(join(ROOT, CONFIG), "utf8"));
const base = git("merge-base", "HEAD", "main")?.trim();
const earlier = ["HEAD", "HEAD~1", ...(base ? [base] : [])].flatMap(
  (commit) => git("show", `${commit}:${CONFIG}`) ?? [],
);

test("every covered room has a floor for lines and for branches", () => {
  expect(now.size).toBe(22);
  expect([...now].filter(([, floor]) => !(floor > 50 && floor <= 100))).toEqual([]);
});

test("a floor that is lower or gone is found", () => {
  const before = floorsIn('  "a/**": { lines: 90, branches: 80 },\n  "b/**": { lines: 70, branches: 60 },\n');
  expect(fallen(before, before)).toEqual([]);
  expect(fallen(before, floorsIn('  "a/**": { lines: 95, branches: 79 },\n'))).toEqual([
    "a branches: 80",
    "b lines: 70",
    "b branches: 60",
  ]);
});

test.skipIf(earlier.length === 0)("no coverage floor is lower than before", () => {
  expect(earlier.flatMap((config) => fallen(floorsIn(config), now))).toEqual([]);
});
