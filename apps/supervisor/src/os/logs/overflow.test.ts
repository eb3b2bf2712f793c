import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Overflow } from "./overflow.ts";

const identity = {
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};
const MINUTE = 60_000;
let directory: string;
let fd: number;
let overflow: Overflow;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "log-overflow-"));
  const fifo = join(directory, "fifo");
  execFileSync("mkfifo", [fifo]);
  fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  overflow = new Overflow({ fd, identity, directory }, 7, { report: () => undefined, counted: () => undefined });
  writeSync(fd, "line\n".repeat(13_000));
});
afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

test("lines are dropped and counted when a logger that could write has not read for a minute", () => {
  overflow.look(true, 0);
  overflow.look(true, MINUTE - 1);
  expect(overflow.loss).toEqual({ lines: 7, reason: "" });
  overflow.look(true, MINUTE);
  // The first line is kept: the logger may have read its beginning.
  expect(overflow.loss).toEqual({
    lines: 7 + 12_999,
    reason: "its logger does not read its input, although it can write its files",
  });
});

test("the minute starts again when the FIFO was not full meanwhile", () => {
  overflow.look(true, 0);
  overflow.look(false, MINUTE - 1);
  overflow.look(true, MINUTE);
  overflow.look(true, 2 * MINUTE - 1);
  expect(overflow.loss).toEqual({ lines: 7, reason: "" });
});

test("the overflow ends when the logger has written again", () => {
  overflow.look(true, 0);
  overflow.look(true, MINUTE);
  writeFileSync(join(directory, "current"), "one more line\n");
  overflow.look(false, MINUTE + 1);
  expect(overflow.loss).toEqual({ lines: 7 + 12_999, reason: "" });
});

test("a FIFO is emptied also after its name was removed", () => {
  overflow.look(true, 0);
  rmSync(join(directory, "fifo"));
  overflow.look(true, MINUTE);
  expect(overflow.loss.lines).toBe(7 + 12_999);
});

/** A program whose descriptors are all in use for the first minute; prints its losses. */
const CROWDED = (directory: string): string => `
  import { execFileSync } from "node:child_process";
  import { closeSync, constants, openSync, writeSync } from "node:fs";
  import { Overflow } from "${import.meta.dirname}/overflow.ts";
  execFileSync("mkfifo", ["${directory}/other"]);
  const fd = openSync("${directory}/other", constants.O_RDWR | constants.O_NONBLOCK);
  const identity = { uid: process.getuid(), gid: process.getgid(), groups: process.getgroups() };
  const listener = { report: () => undefined, counted: () => undefined };
  const overflow = new Overflow({ fd, identity, directory: "${directory}" }, 0, listener);
  writeSync(fd, "line\\n".repeat(13_000));
  const taken = [];
  try { for (;;) taken.push(openSync("/dev/null")); } catch {}
  const losses = [0, ${MINUTE - 1}, ${MINUTE}].map((now) => { overflow.look(true, now); return overflow.loss.lines; });
  for (const each of taken) closeSync(each);
  overflow.look(true, ${MINUTE + 1});
  console.log(JSON.stringify([...losses, overflow.loss]));
`;

test("no line is dropped, and no reason assumed, while no descriptor is free", () => {
  const argv = ["--nofile=64:64", process.execPath, "--input-type=module", "-e", CROWDED(directory)];
  const loss = { lines: 12_999, reason: "its logger does not read its input, although it can write its files" };
  expect(JSON.parse(execFileSync("prlimit", argv, { encoding: "utf8" }))).toEqual([0, 0, 0, loss]);
});
