/** `softlimit`: the program's limits in /proc under Debian's and under ours. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { run } from "../program.ts";
import { Stage } from "../stage.ts";
import { compare, copyTools, type Side } from "./comparison.ts";

let stage: Stage;
let tools: string;
let alice: Account;
beforeAll(async () => {
  stage = await Stage.make();
  tools = copyTools(stage.directory);
  alice = await stage.account("alice");
});
afterAll(() => stage.remove());

/** Sets the same limits for both sides, independent of the machine. */
const BOUNDS = [
  "/usr/bin/prlimit",
  "--nofile=4096:4096",
  "--nproc=4096:4096",
  "--memlock=65536:1048576",
  "--core=unlimited:unlimited",
  "--",
];

interface Limits {
  readonly code: number | undefined;
  /** Changed limits, e.g. `Max open files: 100`. */
  readonly soft: readonly string[];
  readonly hard: readonly string[];
}

const limitsOf = (text: string): [name: string, soft: string, hard: string][] =>
  text
    .split("\n")
    .slice(1)
    .filter((line) => line !== "")
    .map((line) => [line.slice(0, 26).trim(), line.slice(26, 47).trim(), line.slice(47, 68).trim()]);

const limits = async (words: readonly string[], child: readonly string[]): Promise<Limits> => {
  const before = limitsOf((await run([...BOUNDS, "/bin/cat", "/proc/self/limits"])).stdout);
  const { code, stdout } = await run([...BOUNDS, ...words, ...child]);
  const after = limitsOf(stdout);
  const changed = (column: 1 | 2) =>
    after.filter((row, index) => row[column] !== before[index]?.[column]).map((row) => `${row[0]}: ${row[column]}`);
  return { code, soft: changed(1), hard: changed(2) };
};

const attempt =
  (options: string, child: readonly string[] = ["/bin/cat", "/proc/self/limits"]) =>
  (side: Side): Promise<Limits> =>
    limits([side === "old" ? "/usr/bin/softlimit" : join(tools, "softlimit"), ...options.split(" ")], child);

test.each([
  ["-a 100000000", "Max address space: 100000000"],
  ["-c 4096", "Max core file size: 4096"],
  ["-d 50000000", "Max data size: 50000000"],
  ["-f 1000000", "Max file size: 1000000"],
  ["-l 32768", "Max locked memory: 32768"],
  ["-o 100", "Max open files: 100"],
  ["-p 1000", "Max processes: 1000"],
  ["-r 16000000", "Max resident set: 16000000"],
  ["-s 4000000", "Max stack size: 4000000"],
  ["-t 100", "Max cpu time: 100"],
  ["-o100", "Max open files: 100"],
])("softlimit %s sets the same soft limit as Debian's, and the hard limit too", async (options, line) => {
  const hard = { difference: "softlimit-hard" };
  await compare(attempt(options), hard.difference, {
    old: { code: 0, soft: [line], hard: [] },
    ours: { code: 0, soft: [line], hard: [line] },
  });
});

test("softlimit -m sets four limits, each up to its hard limit", async () => {
  const lines = [
    "Max data size: 67108864",
    "Max stack size: 67108864",
    "Max core file size: 0",
    "Max resident set: 16777216",
    "Max locked memory: 1048576",
    "Max address space: 67108864",
  ];
  await compare(attempt("-m 67108864 -c 0 -r 16777216"), "softlimit-hard", {
    old: { code: 0, soft: lines, hard: [] },
    // The limit of locked memory already equals its hard limit.
    ours: { code: 0, soft: lines, hard: lines.filter((line) => !line.includes("locked")) },
  });
});

test.each([
  "-m 64000000 -d 128000000",
  "-m 64000000 -a 128000000",
  "-m 64000000 -d =",
  "-d 128000000 -m 64000000",
  "-d 1000000 -d 2000000",
  "-d = -d 2000000",
  "-o 20 -o 30",
  "-o 30 -o 20",
  "-r 10 -r 20",
  "-c 0 -c 10",
  "-s 8000 -s 4000000",
  "-t 0 -t 100",
  "-d 0",
  "-d 0 -r 20",
])("softlimit %s by an ordinary account uses the last number, as Debian's does", async (options) => {
  const ordinary = (side: Side) =>
    limits(
      [...alice.become, side === "old" ? "/usr/bin/softlimit" : join(tools, "softlimit"), ...options.split(" ")],
      ["/bin/cat", "/proc/self/limits"],
    );
  const [old, ours] = [await ordinary("old"), await ordinary("ours")];
  expect(ours.code).toBe(0);
  expect([ours.code, ours.soft]).toEqual([old.code, old.soft]);
});

test.each(["-o =", "-l 99999999999999999999", "-p 5000", "-o 99999999999999"])(
  "softlimit %s sets the soft limit to the hard limit, which stays, as Debian's does",
  async (options) => {
    await compare(attempt(options), undefined);
  },
);

test.each([
  ["-a 64M", "-a 67108864"],
  ["-d 65536K", "-d 67108864"],
  ["-f 1G", "-f 1073741824"],
  ["-o 1k", "-o 1024"],
  ["-a 0100000000", "-a 100000000"],
])("softlimit reads %s as %s, and Debian's knows no suffix", async (suffixed, plain) => {
  const suffix = { difference: "softlimit-suffix" };
  if (/[a-z]$/i.test(suffixed)) {
    const lines = (await attempt(plain)("old")).soft;
    await compare(attempt(suffixed), suffix.difference, {
      old: { code: 100, soft: [], hard: [] },
      ours: { code: 0, soft: lines, hard: lines },
    });
  }
  expect((await attempt(suffixed)("ours")).soft).toEqual((await attempt(plain)("old")).soft);
});

test.each(["-a 0", "-a 1000", "-m 0", "-s 0", "-s 4096", "-d 1"])(
  "softlimit %s is refused, where Debian's lets the program die without a message",
  async (options) => {
    const little = { difference: "softlimit-little" };
    await compare(async (side) => (await attempt(options, ["/bin/true"])(side)).code, little.difference, {
      old: undefined,
      ours: 111,
    });
  },
);

test("softlimit -t 0 is refused", async () => {
  expect((await attempt("-t 0", ["/bin/true"])("ours")).code).toBe(111);
});

test("softlimit takes a number of 2^64 as the hard limit, where Debian's overflows and crashes", async () => {
  const wrap = { difference: "softlimit-wrap" };
  await compare(attempt("-a 18446744073709551616"), wrap.difference, {
    old: { code: undefined, soft: [], hard: [] },
    ours: { code: 0, soft: [], hard: [] },
  });
});

test.each(["-a", "-a -1", "-a 5x", "-a K", "-x 1", "-a 1.5M", "-o 10"])(
  "softlimit fails with the same exit code as Debian's for wrong usage (%s)",
  async (options) => {
    const child = options === "-a" || options === "-o 10" ? [] : undefined;
    await compare(attempt(options, child), undefined);
  },
);

test("softlimit exits with 127 for a missing program, unlike Debian's", async () => {
  await compare(async (side) => (await attempt("-o 100", ["/nonexistent"])(side)).code, "exit-127", {
    old: 111,
    ours: 127,
  });
});

test("softlimit execs the program in the same process", async () => {
  const { stdout } = await run(["/bin/sh", "-c", `echo $$; exec ${tools}/softlimit -o 100 sh -c 'echo $$'`]);
  const [before, after] = stdout.split("\n");
  expect(after).toBe(before);
});
