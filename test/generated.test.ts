/** Files that repeat what the code knows. */
import { expect, test } from "vitest";
import { applied } from "../generate/artefact.ts";
import { generatedFiles } from "../generate/main.ts";

const files = await generatedFiles();

test.each([...files])("%s is what `npm run generate` writes", (_path, { current, expected }) => {
  expect(current).toBe(expected);
});

test("an artefact replaces its region of a file and nothing else", () => {
  const page = "before\n<!-- generate keys -->\nstale\n<!-- end keys -->\nafter\n";
  expect(applied(page, { path: "page.md", region: "keys", text: "fresh" })).toBe(
    "before\n<!-- generate keys -->\n\nfresh\n\n<!-- end keys -->\nafter\n",
  );
});

test("an artefact whose file lacks a marker of the region is an error that names file and marker", () => {
  expect(() => applied("no marker\n", { path: "page.md", region: "keys", text: "fresh" })).toThrow(
    "page.md: expected the lines <!-- generate keys --> and <!-- end keys -->",
  );
});
