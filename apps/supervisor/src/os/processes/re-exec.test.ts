import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "re-exec-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Executes a program that has `reExec`; returns what it printed. */
const run = (body: string): string => {
  const path = join(directory, "program.mts");
  writeFileSync(path, `import { reExec } from "${import.meta.dirname}/re-exec.ts";${body}`);
  return execFileSync(process.execPath, [path, "argument"], { encoding: "utf8" });
};

test("a re-executed program has the same pid and arguments", () => {
  const printed = run(`
    console.log(process.pid, process.argv[2]);
    if (!process.env.AGAIN) {
      process.env.AGAIN = "1";
      reExec();
    }
  `);
  const [before, after] = printed.trim().split("\n");
  expect([before, after]).toEqual([expect.stringMatching(/^\d+ argument$/), before]);
});

test("a failed re-exec throws", () => {
  const printed = run(`
    process.execve = () => { throw new Error("no such program"); };
    try {
      reExec();
    } catch (error) {
      console.log(error.message);
    }
  `);
  expect(printed).toBe("no such program\n");
});
