import { PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readReport } from "./launch-report.ts";

let report: PassThrough;
let waits: string[];
let results: string[];
let limit: () => void;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  report = new PassThrough();
  waits = [];
  results = [];
  limit = readReport(report, { waiting: (reason) => waits.push(reason), done: (text) => results.push(text) });
});
afterEach(() => {
  vi.useRealTimers();
  report.destroy();
});

const turns = async (): Promise<void> => {
  for (let count = 0; count < 5; count += 1) await turn();
};
const write = async (text: string): Promise<void> => {
  report.write(text);
  await turns();
};
const close = async (): Promise<void> => {
  report.end();
  await turns();
};

test("a report that is closed without text means that the chain has become the daemon", async () => {
  await close();
  expect(results).toEqual([""]);
});

test("a report is complete once it is closed, in whatever pieces it arrives", async () => {
  for (const piece of ["permission den", "ied\nentering /s", "rv"]) await write(piece);
  expect(results).toEqual([]);
  await close();
  expect(results).toEqual(["permission denied\nentering /srv"]);
});

test("a line with a tilde reports a wait, and is no part of the failure", async () => {
  await write("~waits for the lock /x\n~\nlocked\n");
  await close();
  expect([waits, results]).toEqual([["waits for the lock /x", ""], ["locked\n"]]);
});

test("a report that stays open for 15 s after the go signal is no failure of a stage", async () => {
  limit();
  await write("garbage\n");
  vi.advanceTimersByTime(14_999);
  await turns();
  expect(results).toEqual([]);
  vi.advanceTimersByTime(1);
  await turns();
  expect(results).toEqual([""]);
});

test("the time for which a chain waits does not count, and the limit starts again afterwards", async () => {
  limit();
  await write("~waits for the lock /x\n");
  vi.advanceTimersByTime(1_000_000);
  await turns();
  expect(results).toEqual([]);
  await write("~\n");
  vi.advanceTimersByTime(15_000);
  await turns();
  expect(results).toEqual([""]);
});

test("a report of more than 64 KiB is no report of a stage", async () => {
  await write("x".repeat(65_537));
  expect(results).toEqual([""]);
});

test("a failure is cut off after 4096 characters", async () => {
  for (let line = 0; line < 100; line += 1) await write(`${"x".repeat(99)}\n`);
  await close();
  expect(results[0]).toHaveLength(4096);
});
