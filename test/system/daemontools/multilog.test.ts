/** `multilog`: Debian's and ours on the same lines. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, until } from "../program.ts";
import { Stage } from "../stage.ts";
import { compare, copyTools, type Side } from "./comparison.ts";

let stage: Stage;
let tools: string;
let cases = 0;
beforeAll(async () => {
  stage = await Stage.make();
  tools = copyTools(stage.directory);
});
afterAll(() => stage.remove());

const program = (side: Side): string => (side === "old" ? "/usr/bin/multilog" : join(tools, "multilog"));
const STAMP = /^@[0-9a-f]{24} /gm;

/** Makes a new directory to run in. */
const makeDirectory = (): string => {
  cases += 1;
  const directory = join(stage.directory, `log${cases}`);
  mkdirSync(directory);
  return directory;
};

/** Files of a log, oldest first, `current` last, without the lock and state files. */
const files = (log: string): string[] =>
  readdirSync(log)
    .filter((name) => !["lock", "state"].includes(name))
    .sort();

/** Lines of a log without their stamps, kinds of its files, and mode of the current file. */
const read = (log: string) => ({
  text: files(log)
    .map((name) => readFileSync(join(log, name), "latin1"))
    .join("")
    .replaceAll(STAMP, "STAMP "),
  kinds: [...new Set(files(log).map((name) => name.replace(/^@[0-9a-f]{24}/, "@")))],
  mode: statSync(join(log, "current")).mode & 0o777,
});

const LINES = [
  "hello",
  "hello world",
  "status: ok",
  "app: status: bad",
  "a fatal: out of memory",
  "named[135]: Cleaned cache of 3121 RRs",
  "a.b",
  "axb",
  "2 * 3 = 6",
  "**",
  "",
  "(x|y)+?{2}^$\\[]",
  "\xe9\xff",
  "tab\there",
];
const INPUT = `${LINES.join("\n")}\n`;

const logged = (actions: readonly string[], input: string) => async (side: Side) => {
  const cwd = makeDirectory();
  const { code } = await run([program(side), ...actions, "./out"], { cwd, input });
  return { code, ...(code === 0 ? read(join(cwd, "out")) : {}) };
};

/** Expected result: a closed log of one file. */
const holds = (text: string) => ({ code: 0, text, kinds: ["current"], mode: 0o744 });

test.each([
  [],
  ["-*"],
  ["-hello"],
  ["-*", "+hello"],
  ["-*", "+hello*"],
  ["-*", "+*: *"],
  ["-*", "+* fatal: *"],
  ["-named[*]: Cleaned cache *"],
  ["-*", "+a.b"],
  ["-*", "+* * 3*"],
  ["-*", "+**"],
  ["-*", "+** 3 = *"],
  ["-*", "+"],
  ["-*", "+(*|y)+?{2}^$\\[]"],
  ["-*", "+*]"],
  ["-*", "+*^$*"],
  ["-*", "+\xe9*"],
  ["-*", "+*\t*"],
  ["-*", "+*l*l*", "-*w*"],
  ["-*d"],
])("multilog with the selection %j logs the same lines as Debian's", async (...actions) => {
  await compare(logged(actions, INPUT), undefined);
});

test.each([
  [],
  ["-*", "+* hello*"],
  ["-*", "+* * fatal: *"],
  ["-*status*"],
  ["-hello"],
  ["-*", "+@*"],
  ["-*", "+@* hello"],
  ["-*"],
])("multilog with t and the selection %j logs the same lines as Debian's", async (...actions) => {
  const { ours } = await compare(logged(["t", ...actions], INPUT), undefined);
  expect(ours.mode).toBe(0o744);
});

test("multilog drops an unterminated last line, unlike Debian's", async () => {
  const last = { difference: "multilog-last" };
  await compare(logged(["t"], "one\ntwo"), last.difference, {
    old: holds("STAMP one\nSTAMP two\n"),
    ours: holds("STAMP one\n"),
  });
});

test("multilog refuses a pattern about the digits of the stamp, unlike Debian's", async () => {
  const digits = { difference: "multilog-digits" };
  await compare(logged(["t", "+*4*"], "x\n"), digits.difference, { old: holds("STAMP x\n"), ours: { code: 111 } });
});

test.each([["x5"], ["t", "E"]])("multilog refuses unknown actions (%j), unlike Debian's", async (...actions) => {
  const unknown = { difference: "multilog-unknown" };
  const text = actions[0] === "t" ? "STAMP x\n" : "x\n";
  await compare(logged(actions, "x\n"), unknown.difference, { old: holds(text), ours: { code: 100 } });
});

test("multilog refuses to run without a target, unlike Debian's", async () => {
  const nothing = { difference: "multilog-nothing" };
  const attempt = async (side: Side) => (await run([program(side), "t"], { input: "x\n" })).code;
  await compare(attempt, nothing.difference, { old: 0, ours: 100 });
});

test("multilog makes missing parent directories of a log, unlike Debian's", async () => {
  const parents = { difference: "multilog-parents" };
  const attempt = async (side: Side) => {
    const top = makeDirectory();
    for (const directory of ["service", "service/log", "root"]) mkdirSync(join(top, directory));
    const { code } = await run([program(side), "t", "../../root/log/axkit2"], {
      cwd: join(top, "service/log"),
      input: "x\n",
    });
    const log = join(top, "root/log/axkit2");
    const modes = [dirname(log), log].filter((path) => existsSync(path)).map((path) => statSync(path).mode & 0o777);
    return { code, modes, log: code === 0 ? read(log) : undefined };
  };
  await compare(attempt, parents.difference, {
    old: { code: 111, modes: [], log: undefined },
    ours: { code: 0, modes: [0o700, 0o700], log: { text: "STAMP x\n", kinds: ["current"], mode: 0o744 } },
  });
});

test("multilog writes a status file and two logs with their own selections and sizes, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const actions = ["t", "=status", "s8192", "n3", "./a", "-*", "+* 1*", "./b"];
    const { code } = await run([program(side), ...actions], { cwd, input: "0\n1\n" });
    const status = readFileSync(join(cwd, "status"), "latin1").replace(STAMP, "STAMP ");
    return { code, status, a: read(join(cwd, "a")), b: read(join(cwd, "b")) };
  };
  const { ours } = await compare(attempt, undefined);
  expect([ours.b.text, ours.status.length]).toEqual(["STAMP 1\n", 1001 - 26 + 6]);
});

test("multilog prefixes the alerts of action e by s6-log's name, unlike Debian's", async () => {
  const alert = { difference: "multilog-alert" };
  const attempt = async (side: Side) =>
    (await run([program(side), "-short*", "e"], { input: `short\n${"x".repeat(300)}\n` })).stderr;
  const { old, ours } = await compare(attempt, alert.difference, {
    old: `${"x".repeat(200)}...\n`,
    ours: `s6-log: alert: ${"x".repeat(200)}...\n`,
  });
  expect(ours).toBe(`s6-log: alert: ${old}`);
});

/** Writes lines one at a time, each when the one before is in the log. */
const feed = async (logger: ChildProcess, log: string, lines: readonly string[], within: string): Promise<void> => {
  for (const line of lines) {
    logger.stdin?.write(`${line}\n`);
    await until(`"${line}" in ${within}`, () => {
      try {
        return files(log).some((name) => readFileSync(join(log, name), "latin1").includes(line));
      } catch {
        return false;
      }
    });
  }
};

const startLogger = (side: Side, cwd: string, actions: readonly string[]): ChildProcess =>
  spawn(program(side), [...actions, "./out"], { cwd, stdio: ["pipe", "ignore", "inherit"] });

const numbered = (count: number, length: number): string[] =>
  Array.from({ length: count }, (_, index) => `${String(index).padStart(4, "0")}${"x".repeat(length)}`);

test("multilog that reads line by line rotates at the same sizes, counts and names as Debian's", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const log = join(cwd, "out");
    const logger = startLogger(side, cwd, ["t", "n4", "s4096"]);
    await feed(logger, log, numbered(24, 700), side);
    const ended = once(logger, "exit");
    logger.stdin?.end();
    const [code] = await ended;
    return { code, ...read(log), sizes: files(log).map((name) => statSync(join(log, name)).size) };
  };
  const { ours } = await compare(attempt, undefined);
  expect(ours.kinds).toEqual(["@.s", "current"]);
  expect(ours.sizes).toHaveLength(4);
});

test.each(["s0004096", "s08192", "s0", "n003", "n010", "n09"])(
  "multilog ignores leading zeros in %s, as Debian's does",
  async (action) => {
    const attempt = async (side: Side) => {
      const cwd = makeDirectory();
      const log = join(cwd, "out");
      const logger = startLogger(side, cwd, ["n3", "s4096", action]);
      await feed(logger, log, numbered(60, 700), side);
      const ended = once(logger, "exit");
      logger.stdin?.end();
      await ended;
      return files(log).map((name) => statSync(join(log, name)).size);
    };
    await compare(attempt, undefined);
  },
);

test("multilog under a flood of lines rotates between reads, unlike Debian's, and keeps as many files", async () => {
  const size = { difference: "multilog-size" };
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    await run([program(side), "n4", "s4096", "./out"], { cwd, input: `${numbered(5000, 20).join("\n")}\n` });
    const log = join(cwd, "out");
    const sizes = files(log).map((name) => statSync(join(log, name)).size);
    const last = read(log).text.trim().split("\n").at(-1);
    return {
      count: sizes.length,
      last,
      within: Math.max(...sizes) <= 4096,
      bounded: Math.max(...sizes) <= 4096 + 2 * 65536,
    };
  };
  const last = numbered(5000, 20).at(-1);
  await compare(attempt, size.difference, {
    old: { count: 4, last, within: true, bounded: true },
    ours: { count: 4, last, within: false, bounded: true },
  });
});

test("multilog cuts a line that is longer than 64 KiB, unlike Debian's", async () => {
  const long = { difference: "multilog-long" };
  const input = `${"x".repeat(200_000)}\nafter\n`;
  const cut = [65_536, 65_536, 65_536, 3392].map((length) => "x".repeat(length));
  await compare(logged(["n100", "s4096"], input), long.difference, {
    old: { code: 0, text: input, kinds: ["@.s", "current"], mode: 0o744 },
    ours: { code: 0, text: `${cut.join("\n")}\nafter\n`, kinds: ["@.s", "current"], mode: 0o744 },
  });
  await compare(logged(["s16777215"], `${"x".repeat(60_000)}\nafter\n`), undefined);
});

test("multilog renames the current file of a killed predecessor to .u without losing a line, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const log = join(cwd, "out");
    const first = startLogger(side, cwd, ["t"]);
    await feed(first, log, ["one", "two"], side);
    const writing = statSync(join(log, "current")).mode & 0o777;
    const ended = once(first, "exit");
    first.kill("SIGKILL");
    await ended;
    await run([program(side), "t", "./out"], { cwd, input: "three\n" });
    return { writing, ...read(log) };
  };
  const { ours } = await compare(attempt, undefined);
  expect(ours).toEqual({
    writing: 0o644,
    text: "STAMP one\nSTAMP two\nSTAMP three\n",
    kinds: ["@.u", "current"],
    mode: 0o744,
  });
});

test("multilog exits at the end of a line on TERM and rotates on ALRM, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const log = join(cwd, "out");
    const logger = startLogger(side, cwd, ["t"]);
    await feed(logger, log, ["one"], side);
    logger.kill("SIGALRM");
    await until("a rotated file", () => files(log).some((name) => name.endsWith(".s")));
    await feed(logger, log, ["two"], side);
    const ended = once(logger, "exit");
    logger.kill("SIGTERM");
    // Debian's reads on until the end of a line.
    logger.stdin?.on("error", () => undefined);
    logger.stdin?.write("\n");
    const [code] = await ended;
    const { text, kinds, mode } = read(log);
    return { code, text: text.replace(/STAMP \n$/, ""), kinds, mode };
  };
  await compare(attempt, undefined);
});

test("a second multilog on the same log directory fails with 111, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const logger = startLogger(side, cwd, ["t"]);
    try {
      await feed(logger, join(cwd, "out"), ["one"], side);
      return (await run([program(side), "t", "./out"], { cwd, input: "x\n" })).code;
    } finally {
      logger.kill("SIGKILL");
    }
  };
  expect((await compare(attempt, undefined)).ours).toBe(111);
});

test("multilog runs a processor whose command has quotes, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const cwd = makeDirectory();
    const log = join(cwd, "out");
    const logger = startLogger(side, cwd, [`!tr "e\\"" '$Q'`]);
    await feed(logger, log, ['he"llo'], side);
    logger.kill("SIGALRM");
    const found = await until("a processed file", () => files(log).find((name) => name.endsWith(".s")));
    const text = readFileSync(join(log, found), "latin1");
    const ended = once(logger, "exit");
    logger.stdin?.end();
    await ended;
    return text;
  };
  expect((await compare(attempt, undefined)).ours).toBe("h$Qllo\n");
});
