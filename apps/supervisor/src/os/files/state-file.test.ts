import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StateFiles } from "./state-file.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "states-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const unexpected = (problem: string): never => {
  throw new Error(problem);
};
const LENGTHS = [10, 5000, 3, 700, 0, 20_000];

test("a state file returns the value that was written last", () => {
  const states = new StateFiles(directory);
  for (const length of LENGTHS) {
    const value = { text: "ä".repeat(length) };
    states.write("anna", "blog", JSON.stringify(value));
    expect(states.read("anna", "blog", unexpected)).toEqual(value);
  }
  expect(states.list("anna")).toEqual(["blog"]);
});

test("a draft that was cut off does not affect the state file", () => {
  const states = new StateFiles(directory);
  for (const length of LENGTHS) {
    states.write("anna", "blog", JSON.stringify(length));
    writeFileSync(join(directory, "anna", "blog.json~"), "{");
    expect(new StateFiles(directory).read("anna", "blog", unexpected)).toBe(length);
  }
});

test("removing a state file leaves no other file", () => {
  const states = new StateFiles(directory);
  for (const length of LENGTHS) states.write("anna", "blog", JSON.stringify(length));
  states.remove("anna", "blog");
  expect(readdirSync(join(directory, "anna"))).toEqual([]);
});
