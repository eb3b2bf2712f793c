/** Files that repeat what the code knows. */
import { expect, test } from "vitest";
import { region } from "../generate/artefact.ts";
import { generatedFiles } from "../generate/main.ts";

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
