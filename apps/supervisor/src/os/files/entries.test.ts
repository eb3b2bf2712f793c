import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { entriesOf, Overcrowded } from "./entries.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "entries-"));
  for (let file = 0; file < 300; file += 1) writeFileSync(join(directory, `f${file}`), "");
});
afterEach(() => rmSync(directory, { recursive: true }));

test("as many as may be are given, by the bytes of their names", () => {
  const entries = entriesOf(directory, 300);
  expect(new Set(entries.map(({ name }) => name.toString("latin1"))).size).toBe(300);
  expect(entries.every((entry) => entry.isFile())).toBe(true);
});

test("one more, and the directory is given up", () => {
  expect(() => entriesOf(directory, 299)).toThrow(Overcrowded);
  expect(() => entriesOf(directory, 299)).toThrow(`${directory}: more than 299 files in it; put them elsewhere`);
});

test("so is one that takes too long", () => {
  expect(() => entriesOf(directory, 300, -1)).toThrow(/: reading it takes longer than -1 ms, after 256 files;/);
});

test("what is not there is an errno error", () => {
  expect(() => entriesOf(join(directory, "none"), 300)).toThrow(expect.objectContaining({ code: "ENOENT" }));
});
