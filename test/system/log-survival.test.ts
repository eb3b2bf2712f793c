/** A million numbered lines are logged while supervisor and logger are ended again and again. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, loggerOf, rotatedIn } from "./log-directory.ts";
import { isRunning } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const LINES = 1_000_000;
const ROUNDS = 20;
const BLOCK = LINES / ROUNDS;
/** Bytes that s6-log may have read and not written: one read(2), and the start of a line before and after it. */
const IN_HAND = 8192 + 8 + 8;

/**
 * Writes a block of lines as fast as the pipe takes them for each line that it reads. Its buffer cuts lines anywhere.
 */
const WRITER = `use strict;
open(my $tickets, "+<", $ARGV[0]) or die; open(my $done, ">", $ARGV[1]) or die; $done->autoflush(1); my $n = 0;
while (<$tickets>) { for (1..${BLOCK}) { $n++; print "$n\\n" } STDOUT->flush(); print $done "$n\\n"; }
`;

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  alice.write("writer.pl", WRITER);
  for (const name of ["mild", "harsh"]) {
    await succeed(...alice.become, "mkfifo", "-m", "600", `${alice.home}/${name}.tickets`);
    const files = `$HOME/${name}.tickets $HOME/${name}.done`;
    const keys = [
      "output = log",
      "log-size = 1M",
      "log-files = 1000",
      ...(name === "mild" ? ["log-compress = yes"] : []),
    ];
    alice.writeConf(name, `start = exec perl -MIO::Handle $HOME/writer.pl ${files}`, ...keys);
  }
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  await supervisor.start();
  await supervisor.reaches(`${alice.name}/mild`, "running");
  const { pid } = await supervisor.reaches(`${alice.name}/harsh`, "running");
  for (let round = 0; round < ROUNDS; round += 1) await killAll();
  expect((await supervisor.status(`${alice.name}/harsh`)).pid).toBe(pid);
}, 180_000);
afterAll(() => stage.remove());

const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const logger = (name: string): Promise<number> =>
  until(`the logger of ${name}`, () => loggerOf(alice.uid, directoryOf(name)));
/** A text that changes with every byte that is logged. */
const progress = (name: string): string => {
  // A rotation takes it away for a moment.
  const size = statSync(`${directoryOf(name)}/current`, { throwIfNoEntry: false })?.size ?? 0;
  return `${rotatedIn(directoryOf(name)).length} ${size}`;
};

/** Lets a writer write a block; returns when some of it is in the log. */
const writeBlock = (name: string): void => {
  const before = progress(name);
  writeFileSync(`${alice.home}/${name}.tickets`, "go\n");
  for (let sample = 0; sample < 100_000 && progress(name) === before; sample += 1);
};

/** Ends one logger by TERM, and the other and the supervisor by KILL, while they work. */
const killAll = async (): Promise<void> => {
  const [mild, harsh] = [await logger("mild"), await logger("harsh")];
  writeBlock("mild");
  writeBlock("harsh");
  process.kill(harsh, "SIGKILL");
  await supervisor.end("SIGKILL");
  process.kill(mild, "SIGTERM");
  await until("exit of the loggers", () => !isRunning(mild) && !isRunning(harsh));
  await supervisor.start();
};

/** Stops the daemon when it has written all lines; returns the lines of its log. */
const finish = async (name: string): Promise<string[]> => {
  const done = `${alice.home}/${name}.done`;
  await until("all lines", () => readFileSync(done, "utf8").endsWith(`${LINES}\n`));
  await supervisor.act("stop", `${alice.name}/${name}`);
  await until("exit of the logger", () => loggerOf(alice.uid, directoryOf(name)) === undefined);
  return linesIn(directoryOf(name));
};

/** Counts missing and doubled numbers, and collects lines that are none of them. */
const compareLines = (lines: readonly string[]): { lost: number; doubled: number; strange: string[] } => {
  const isNumber = (line: string) => /^[1-9]\d*$/.test(line) && Number(line) <= LINES;
  const numbers = lines.filter(isNumber);
  const seen = new Set(numbers);
  const strange = lines.filter((line) => !isNumber(line));
  return { lost: LINES - seen.size, doubled: numbers.length - seen.size, strange };
};

test("no line is lost or doubled when the supervisor is killed and the logger gets TERM, twenty times", async () => {
  expect(compareLines(await finish("mild"))).toEqual({ lost: 0, doubled: 0, strange: [] });
  expect(rotatedIn(directoryOf("mild")).length).toBeGreaterThan(20);
});

test("a logger that is killed twenty times doubles no line and loses only what it had read and not written", async () => {
  const lines = await finish("harsh");
  const { lost, doubled, strange } = compareLines(lines);
  console.log(`logger killed ${ROUNDS} times: ${lost} of ${LINES} lines lost, ${strange.length} cut`);
  // The rest of a line that was partly read is logged alone and may look like another number.
  let last = 0;
  const backward = lines.filter((line) => {
    const back = Number(line) <= last;
    if (!back) last = Number(line);
    return back;
  });
  expect(backward.length).toBeLessThanOrEqual(ROUNDS);
  expect(doubled + strange.length).toBeLessThanOrEqual(ROUNDS);
  const seen = new Set(lines);
  const bytes = Array.from({ length: LINES }, (_, index) => String(index + 1))
    .filter((line) => !seen.has(line))
    .reduce((sum, line) => sum + line.length + 1, 0);
  expect(bytes).toBeLessThanOrEqual(ROUNDS * IN_HAND);
});
