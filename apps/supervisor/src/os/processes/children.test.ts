import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mkfifo } from "../kernel/file-calls.ts";
import { type Ended, reap, spawnSession } from "../kernel/spawn.ts";
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
  const how = await new Promise<Ended>((resolve) => {
    spawnChild(sh(script, [[0, -1], [1, fd], [2, fd], ...descriptors]), resolve);
  });
  closeSync(fd);
  return { ...how, text: readFileSync(path, "utf8") };
};

test("a program leads a session of its own in / with the variables that it is given, and its end is told", async () => {
  const { text, ...how } = await run("echo $WORD; pwd; cut -d ' ' -f 1,6 </proc/$$/stat; exit 7");
  const [word, place, ids = ""] = text.split("\n");
  expect([word, place, how]).toEqual(["a b", "/", { code: 7 }]);
  expect(ids.split(" ")[0]).toBe(ids.split(" ")[1]);
});

test("a signal that ends it is told", async () => {
  expect(await run("kill -9 $$")).toEqual({ signal: 9, text: "" });
});

test("it gets those descriptors and no others, in whatever order they are", async () => {
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

test("it ignores and blocks no signal, whatever this program does", async () => {
  const { text } = await run("exec grep -E '^Sig(Ign|Blk)' /proc/self/status");
  expect(text).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
});

test("its input waits for what is to come, though others have made that not wait", async () => {
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

test("an end is told though another's child that has ended is not reaped", async () => {
  const other = spawnSession(sh("exit 3"));
  const how = await new Promise<Ended>((resolve) => {
    // It ends after the other one, which the kernel names first.
    spawnChild(
      sh(`while read -r text </proc/${other}/stat && [ "\${text#*) Z}" = "$text" ]; do :; done; exit 4`),
      resolve,
    );
  });
  expect([how, reap(other)]).toEqual([{ code: 4 }, { code: 3 }]);
});

test("a text with NUL is refused, which would end there", () => {
  expect(() => spawnChild(sh("exit 0\0; exit 1"), () => undefined)).toThrow("NUL");
});

test("a program that is not there is an error", () => {
  expect(() => spawnChild({ ...sh(""), file: join(directory, "none") }, () => undefined)).toThrow("ENOENT");
});
