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

test("entriesOf returns as many entries as the limit allows, with the bytes of their names", () => {
  const entries = entriesOf(directory, 300);
  expect(new Set(entries.map(({ name }) => name.toString("latin1"))).size).toBe(300);
  expect(entries.every((entry) => entry.isFile())).toBe(true);
});

test("entriesOf throws Overcrowded for one entry more", () => {
  expect(() => entriesOf(directory, 299)).toThrow(Overcrowded);
  expect(() => entriesOf(directory, 299)).toThrow(`${directory}: more than 299 files in it; put them elsewhere`);
});

test("entriesOf throws Overcrowded for a directory that takes too long to read", () => {
  expect(() => entriesOf(directory, 300, 0)).toThrow(/: reading it takes longer than 0s, after 256 files;/);
});

test("entriesOf throws ENOENT for a missing directory", () => {
  expect(() => entriesOf(join(directory, "none"), 300)).toThrow(expect.objectContaining({ code: "ENOENT" }));
});
