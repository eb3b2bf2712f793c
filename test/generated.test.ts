/** Files that repeat what the code knows. */
import { expect, test } from "vitest";
import { region } from "../generate/artefact.ts";
import { helpEntries } from "../generate/generate-command-lines.ts";
import { generatedFiles } from "../generate/main.ts";
import { table } from "../generate/table.ts";

const files = await generatedFiles();

test.each([...files])("%s is what `npm run generate` writes", (_path, { current, expected }) => {
  expect(current).toBe(expected);
});

test("a region replaces the text between its markers and nothing else", () => {
  const page = "before\n<!-- generate keys -->\nstale\n<!-- end keys -->\nafter\n";
  expect(region("page.md", "keys", "fresh").apply(page)).toBe(
    "before\n<!-- generate keys -->\n\nfresh\n\n<!-- end keys -->\nafter\n",
  );
});

test("a region whose file lacks a marker is an error that names file and marker", () => {
  expect(() => region("page.md", "keys", "fresh").apply("no marker\n")).toThrow(
    "page.md: expected the lines <!-- generate keys --> and <!-- end keys -->",
  );
});

test("an entry of help has a term, and a text that may go on in further lines", () => {
  expect(
    helpEntries("  up [--docker | --native]  start it:\n                            as root\n  down   stop it"),
  ).toEqual([
    ["up [--docker | --native]", "start it: as root"],
    ["down", "stop it"],
  ]);
});

test("a line of help that is no part of an entry is an error that shows it", () => {
  expect(() => helpEntries("up  start it")).toThrow('found "up  start it"');
});

test("a generated table escapes the pipes in its cells, and leaves empty cells empty", () => {
  expect(table(["a", "b"], [["`x | y`", ""]])).toBe("| a | b |\n|---|---|\n| `x \\| y` | |");
});
