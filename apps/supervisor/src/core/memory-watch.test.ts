import { expect, test } from "vitest";
import { overdrawn, pauseAfter, type Sized } from "./memory-watch.ts";

const run = (name: string, size: number, limit?: number, budget?: number): Sized<string> => {
  const [owner = "", daemon = ""] = name.split("/");
  return { run: name, owner, daemon: `${owner}/${daemon}`, limit, budget, size };
};

test("no run ends while all daemons are within their limits", () => {
  expect(overdrawn([run("a/x", 100, 100, 100), run("b/y", 1000)])).toEqual([]);
  expect(overdrawn([])).toEqual([]);
});

test("a daemon over its limit loses its largest runs, as few as possible, and no other daemon loses one", () => {
  const runs = [
    run("a/x/1", 30, 100),
    run("a/x/2", 80, 100),
    run("a/x/3", 20, 100),
    run("a/z", 500),
    run("b/y", 99, 100),
  ];
  expect(overdrawn(runs)).toEqual([{ run: "a/x/2", limit: 100, size: 130 }]);
});

test("an owner over the budget loses the largest run of any daemon, not counting runs that end already", () => {
  const runs = [run("a/x", 150, 100, 200), run("a/y", 120, undefined, 200), run("a/z", 90, undefined, 200)];
  expect(overdrawn(runs)).toEqual([
    { run: "a/x", limit: 100, size: 150 },
    { run: "a/y", limit: 200, size: 210 },
  ]);
});

test("measuring takes at most a fiftieth of the time", () => {
  expect([0, 5, 40].map(pauseAfter)).toEqual([250, 250, 2000]);
});
