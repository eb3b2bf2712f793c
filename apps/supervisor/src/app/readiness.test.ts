import { fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { takeReadiness } from "./readiness.ts";

test("readiness is one line on the descriptor, which is closed then and named no more", () => {
  const directory = mkdtempSync(join(tmpdir(), "readiness-"));
  const path = join(directory, "ready");
  const fd = openSync(path, "w");
  const environment: NodeJS.ProcessEnv = { DMHOST_READY_FD: String(fd) };
  const readiness = takeReadiness(environment);
  expect([environment, readFileSync(path, "utf8")]).toEqual([{}, ""]);
  readiness.report();
  expect(readFileSync(path, "utf8")).toBe("\n");
  expect(() => fstatSync(fd)).toThrow("EBADF");
  rmSync(directory, { recursive: true });
});

test("without a descriptor nothing is reported", () => {
  expect(takeReadiness({}).report()).toBeUndefined();
});

test.each(["", "0", "2", "x", "03", "10000"])("the descriptor %j is refused", (text) => {
  expect(() => takeReadiness({ DMHOST_READY_FD: text })).toThrow(
    `DMHOST_READY_FD=${text}: expected the number of a descriptor from 3 to 9999`,
  );
});
