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

test("sockets that release 0.1.0 leaves are closed", () => {
  const printed = run(`
    import { fstatSync, openSync, writeFileSync } from "node:fs";
    import { closeInherited } from "${import.meta.dirname}/re-exec.ts";
    const list = "${join(directory, "list")}";
    const socket = openSync("/dev/null");
    writeFileSync(list, JSON.stringify([["/run/fastcgi/alice/site.sock", socket]]));
    const file = openSync(list);
    process.env.DMHOST_INHERITED_SOCKETS = String(file);
    closeInherited();
    const isOpen = (fd) => { try { return Boolean(fstatSync(fd)); } catch { return false; } };
    console.log(isOpen(socket), isOpen(file), process.env.DMHOST_INHERITED_SOCKETS);
  `);
  expect(printed).toBe("false false undefined\n");
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
