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

/** Executes a program that has both functions, `fstatSync` and `openSync`; returns what it printed. */
const run = (body: string): string => {
  const path = join(directory, "program.mts");
  writeFileSync(
    path,
    `import { fstatSync, openSync } from "node:fs";
     import { reExec, takeInherited } from "${import.meta.dirname}/re-exec.ts";
     ${body}`,
  );
  return execFileSync(process.execPath, [path, "argument"], { encoding: "utf8" });
};

test("a re-executed program has the same pid and arguments, and the descriptors that it was to keep", () => {
  const printed = run(`
    const inherited = takeInherited();
    if (inherited.size === 0) {
      console.log(process.pid);
      const paths = Array.from({ length: 100 }, (_, index) => "/" + "x".repeat(2000) + index);
      reExec(new Map([...paths.map((path) => [path, openSync("/dev/null")])]));
    }
    for (const fd of inherited.values()) fstatSync(fd);
    console.log(process.pid, process.argv[2], inherited.size, process.env.DMHOST_INHERITED_SOCKETS);
  `);
  const [before, after = ""] = printed.trim().split("\n");
  expect(after).toBe(`${before} argument 100 undefined`);
});

test("a failed re-exec throws, and closes descriptors on exec again", () => {
  const printed = run(`
    import { readFileSync } from "node:fs";
    const fd = openSync("/dev/null");
    process.execve = () => { throw new Error("no such program"); };
    try {
      reExec(new Map([["/socket", fd]]));
    } catch (error) {
      const flags = parseInt(/flags:\\s*([0-7]+)/.exec(readFileSync("/proc/self/fdinfo/" + fd, "utf8"))[1], 8);
      console.log(error.message, (flags & 0o2000000) !== 0);
    }
  `);
  expect(printed.trim()).toBe("no such program true");
});

test("a program that was not re-executed has no inherited sockets", () => {
  expect(run("console.log(takeInherited().size);").trim()).toBe("0");
});
