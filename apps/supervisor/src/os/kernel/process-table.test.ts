import { expect, it } from "vitest";
import { findTree, type Snapshot } from "./process-table.ts";

const LEADER = { pid: 100, startTime: 1000 };

/** A living process; in session 100, as a child of init, where nothing else is said. */
const row = (pid: number, startTime: number, more: Partial<Snapshot[number]> = {}): Snapshot[number] => ({
  pid,
  startTime,
  state: "S",
  parent: 1,
  session: 100,
  threads: 1,
  ...more,
});

const pids = (rows: Snapshot, known: Snapshot = []): number[] =>
  findTree(LEADER, known, rows)
    .map(({ pid }) => pid)
    .sort((a, b) => a - b);

it("a tree has no process of a later session whose leader got the same pid", () => {
  const rows = [row(100, 2000), row(101, 2001, { parent: 100 }), row(102, 2002)];
  expect(pids(rows)).toEqual([]);
});

it("a tree keeps the processes of earlier searches and their descendants where another process has the leader's pid", () => {
  const left = row(90, 1500, { session: 90 });
  const child = row(103, 2003, { parent: 90, session: 90 });
  const reused = row(91, 2004, { parent: 100 });
  const rows = [row(100, 2000), row(101, 2001, { parent: 100 }), left, child, reused];
  expect(pids(rows, [row(100, 1000), left, row(91, 1501)])).toEqual([90, 103]);
});

it("a tree has all processes of the leader's session and their descendants, also after the leader has ended", () => {
  const rest = [row(101, 1001), row(102, 1002, { parent: 101, session: 102 }), row(200, 1003, { session: 200 })];
  expect(pids([row(100, 1000), ...rest])).toEqual([100, 101, 102]);
  expect(pids(rest)).toEqual([101, 102]);
});
