/**
 * Project references are transitive: the compiler lets a room import what its references reference. Here the compiler lists
 * the imports of each room, and they must be the rooms that its tsconfig.json names, no more and no fewer.
 */
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const TSC = join(ROOT, "node_modules/.bin/tsc");

/** Folders with a project each. */
const ROOMS = globSync(
  ["apps/{supervisor,broker}/src/**/tsconfig.json", "apps/dmctl/tsconfig.json", "packages/*/tsconfig.json"],
  {
    cwd: ROOT,
    exclude: (path) => path.includes("node_modules"),
  },
).map(dirname);

const tsc = (...args: string[]): string =>
  execFileSync(process.execPath, [TSC, ...args], { cwd: ROOT, encoding: "utf8", maxBuffer: 64 << 20 });

/** The room of a source file. */
const roomOf = (path: string): string => {
  let folder = dirname(path);
  while (folder !== "." && !existsSync(join(ROOT, folder, "tsconfig.json"))) folder = dirname(folder);
  return folder;
};

const referencesOf = (room: string): string[] => {
  const { references = [] } = JSON.parse(readFileSync(join(ROOT, room, "tsconfig.json"), "utf8")) as {
    references?: { path: string }[];
  };
  return references.map(({ path }) => normalize(join(room, path)).replace(/\/$/, "")).sort();
};

/** Rooms that files of this room import, by `tsc --explainFiles`: a file's path, then a line for each reason. */
const importsOf = (room: string): string[] => {
  const found = new Set<string>();
  let isImported = false;
  for (const line of tsc("-p", room, "--noEmit", "--explainFiles").split("\n")) {
    if (!line.startsWith(" ")) isImported = false;
    const [, importer = ""] = /^ +Imported via .+ from file '([^']+)'/.exec(line) ?? [];
    if (importer !== "" && roomOf(importer) === room) isImported = true;
    const [, source] = /^ +File is output of project reference source '([^']+)'/.exec(line) ?? [];
    if (isImported && source !== undefined) found.add(roomOf(relative(ROOT, join(ROOT, source))));
  }
  return [...found].sort();
};

beforeAll(() => {
  tsc("--build");
}, 120_000);

test.each(ROOMS)("%s imports exactly the rooms that its tsconfig.json names", (room) => {
  expect(importsOf(room)).toEqual(referencesOf(room));
});

test("the rooms are found, and the compiler's list of imports can be parsed", () => {
  expect(ROOMS.length).toBeGreaterThan(15);
  expect(importsOf("apps/supervisor/src/engine")).toContain("apps/supervisor/src/core");
});
