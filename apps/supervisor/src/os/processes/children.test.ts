import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mkfifo } from "../kernel/file-calls.ts";
import { type ExitStatus, reap, spawnSession } from "../kernel/spawn.ts";
import { spawnChild } from "./children.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "children-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const NOWHERE = [
  [0, -1],
  [1, -1],
  [2, -1],
] as const;

const sh = (script: string, descriptors: Iterable<readonly [number, number]> = NOWHERE) => ({
  file: "/bin/sh",
  argv: ["sh", "-c", script],
  environment: new Map([["WORD", "a b"]]),
  descriptors: new Map(descriptors),
});

/** Runs a script with what it writes in a file; gives that, and how it ended. */
const run = async (script: string, descriptors: Iterable<readonly [number, number]> = []) => {
  const path = join(directory, "output");
  const fd = openSync(path, "w");
  const how = await new Promise<ExitStatus>((resolve) => {
    spawnChild(sh(script, [[0, -1], [1, fd], [2, fd], ...descriptors]), resolve);
  });
  closeSync(fd);
  return { ...how, text: readFileSync(path, "utf8") };
};

test("a child leads a new session in / with exactly the given variables, and its exit code is reported", async () => {
  const { text, ...how } = await run("echo $WORD; pwd; cut -d ' ' -f 1,6 </proc/$$/stat; exit 7");
  const [word, place, ids = ""] = text.split("\n");
  expect([word, place, how]).toEqual(["a b", "/", { code: 7 }]);
  expect(ids.split(" ")[0]).toBe(ids.split(" ")[1]);
});

test("a signal that ends a child is reported", async () => {
  expect(await run("kill -9 $$")).toEqual({ signal: 9, text: "" });
});

test("a child gets the given descriptors and no others, in any order", async () => {
  const [a, b] = [join(directory, "a"), join(directory, "b")];
  const [low, high] = [openSync(a, "w"), openSync(b, "w")];
  // What is to be `low` is `high`, and the other way round.
  const list = `for fd in /proc/$$/fd/*; do [ ! -e "$fd" ] || printf '%s ' "\${fd##*/}"; done`;
  const { text } = await run(`echo x >/proc/$$/fd/${low}; echo yy >/proc/$$/fd/${high}; ${list}`, [
    [low, high],
    [high, low],
  ]);
  for (const fd of [low, high]) closeSync(fd);
  expect([readFileSync(a, "utf8"), readFileSync(b, "utf8")]).toEqual(["yy\n", "x\n"]);
  expect(text).toBe(`0 1 2 ${low} ${high} `);
});

test("a child ignores and blocks no signal", async () => {
  const { text } = await run("exec grep -E '^Sig(Ign|Blk)' /proc/self/status");
  expect(text).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
});

test("a child's input blocks, although another process made it non-blocking", async () => {
  const fifo = join(directory, "fifo");
  mkfifo(fifo, 0o600);
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  const { text } = await run("cut -d ' ' -f 1 </proc/$$/fdinfo/0 | grep -c flags; grep flags /proc/$$/fdinfo/0", [
    [0, fd],
  ]);
  closeSync(fd);
  const flags = Number.parseInt(/flags:\s*([0-7]+)/.exec(text)?.[1] ?? "", 8);
  expect(flags & constants.O_NONBLOCK).toBe(0);
});

test("the end of a child is reported while another ended child is not reaped", async () => {
  const other = spawnSession(sh("exit 3"));
  const how = await new Promise<ExitStatus>((resolve) => {
    // It ends after the other one, which the kernel names first.
    spawnChild(
      sh(`while read -r text </proc/${other}/stat && [ "\${text#*) Z}" = "$text" ]; do :; done; exit 4`),
      resolve,
    );
  });
  expect([how, reap(other)]).toEqual([{ code: 4 }, { code: 3 }]);
});

test("an argument with NUL is refused", () => {
  expect(() => spawnChild(sh("exit 0\0; exit 1"), () => undefined)).toThrow("NUL");
});

test("a missing program is an error", () => {
  expect(() => spawnChild({ ...sh(""), file: join(directory, "none") }, () => undefined)).toThrow("ENOENT");
});
