import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { editionOf } from "./program-edition.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "edition-"));
  writeFileSync(join(directory, "program"), "1");
  utimesSync(join(directory, "program"), 1000, 1000);
});
afterEach(() => rmSync(directory, { recursive: true }));

const edition = (): string | undefined => editionOf(join(directory, "program"));

test("the edition of a program stays while its file does", () => {
  expect(edition()).toBe(edition());
});

test("the edition changes when the file is written", () => {
  const before = edition();
  writeFileSync(join(directory, "program"), "2");
  expect(edition()).not.toBe(before);
});

test("the edition changes when another file of the same age replaces the program", () => {
  const before = edition();
  writeFileSync(join(directory, "next"), "1");
  utimesSync(join(directory, "next"), 1000, 1000);
  renameSync(join(directory, "next"), join(directory, "program"));
  expect(edition()).not.toBe(before);
});

test("a missing program has no edition", () => {
  expect(editionOf(join(directory, "none"))).toBeUndefined();
});
