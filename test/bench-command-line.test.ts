import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readCommandLine, WrongUse } from "./bench/command-line.ts";
import { FIGURES, missingPackages, PACKAGES } from "./bench/packages.ts";

const read = (line: string) =>
  readCommandLine(line === "" ? [] : line.split(" "), ["dmhost", "php-fpm static"], ["kill_1s", "exits"]);

test("without words, all benchmarks are chosen, with runs of 60 s", () => {
  expect(read("")).toEqual({
    figures: FIGURES,
    options: { seconds: 60, setups: [], troubles: [], record: undefined },
  });
});

test("figures and options of the benchmarks are read in any order", () => {
  expect(read("throughput --seconds 20 fastcgi --setup fpm --setup dmhost --trouble exits --record f")).toEqual({
    figures: ["fastcgi", "throughput"],
    options: { seconds: 20, setups: ["fpm", "dmhost"], troubles: ["exits"], record: "f" },
  });
});

test.each([
  ["nothing", 'unknown figure "nothing": expected one of "launch", "respawn", '],
  ["respwan", 'unknown figure "respwan": did you mean "respawn"?'],
  ["--secnods 3", 'unknown option "--secnods": did you mean "--seconds"?'],
  ["-x", 'unknown option "-x": expected one of "--seconds", '],
  ["--seconds", "--seconds"],
  ["--seconds 0", "--seconds 0: expected a number of at least 1"],
  ["--seconds ten", "--seconds ten: expected a number of at least 1"],
  ["throughput --seconds 3", "--seconds 3 is too short for slices of 1000 ms: expected at least 12"],
  ["--trouble exit", 'unknown trouble "exit": did you mean "exits"?'],
  ["--setup apache", 'no setup has "apache" in its name: expected a part of one of "dmhost", "php-fpm static"'],
])("the benchmarks refuse the command line %j in one line", (line, message) => {
  expect(() => read(line)).toThrow(WrongUse);
  expect(() => read(line)).toThrow(message);
  expect(() => read(line)).toThrow(/^[^\n]*$/);
});

test("only packages of the chosen figures are missing", () => {
  expect(missingPackages(["throughput"], () => false)).toEqual(PACKAGES.throughput);
  expect(missingPackages(["status", "log"], () => false)).toEqual(["s6", "supervisor"]);
  expect(missingPackages(["status", "log"], (path) => path.endsWith("s6-log"))).toEqual(["supervisor"]);
});

test("wrong use of the benchmarks is one line on standard error and exit code 2", () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, "bench/main.ts"), "nothing"],
    {
      encoding: "utf8",
    },
  );
  expect([status, stdout, stderr]).toEqual([
    2,
    "",
    expect.stringMatching(/^bench: unknown figure "nothing": [^\n]*\n$/),
  ]);
});
