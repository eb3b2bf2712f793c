/** `envdir`: Debian's and ours on the same directories. */
import { chmodSync, mkdirSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, succeed } from "../program.ts";
import { Stage } from "../stage.ts";
import { compare, copyTools, type Side, type Sides } from "./comparison.ts";

let stage: Stage;
let tools: string;
let nobody: readonly string[];
beforeAll(async () => {
  stage = await Stage.make();
  tools = copyTools(stage.directory);
  nobody = (await stage.account("reader")).become;
});
afterAll(() => stage.remove());

interface Case {
  readonly what: string;
  /** Files of the directory; A and B are `was` in the environment before. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Further preparation of the directory. */
  readonly prepare?: (directory: string) => unknown;
  /** Run as an account that is not root. */
  readonly asAccount?: boolean;
  readonly child?: readonly string[];
  readonly difference?: string;
  /** With a difference: the results of both sides. */
  readonly ends?: Sides;
}

const REFUSED = { code: 111, environment: [] };
/** Exit code 0 with these variables and the unchanged ones. */
const ends = (...variables: string[]) => ({
  code: 0,
  environment: ["B=was", "PATH=/usr/bin:/bin", ...variables].sort(),
});

const CASES: readonly Case[] = [
  { what: "sets a variable to the first line of its file", files: { A: "plain\n" } },
  { what: "accepts a value without a newline", files: { A: "plain" } },
  { what: "ignores every line but the first", files: { A: "one\ntwo\n" } },
  { what: "removes trailing blanks and tabs", files: { A: "x \t \n" } },
  { what: "keeps leading blanks", files: { A: "  x\n" } },
  { what: "turns NUL into newline", files: { A: "a\0b\0\n" } },
  { what: "unsets the variable of an empty file", files: { A: "" } },
  { what: "sets the variable of an empty line to the empty string", files: { A: "\n" } },
  { what: "sets the variable of a blank line to the empty string", files: { A: " \t" } },
  { what: "ignores files whose names begin with a dot", files: { ".A": "x", B: "y" } },
  { what: "accepts names that are no shell identifiers", files: { "1 a-b": "x" } },
  { what: "keeps bytes that are not UTF-8", files: { A: Buffer.from("\xe9\xff\n", "latin1") } },
  { what: "does not expand shell syntax in a value", files: { A: "$(exit 3)`x`\\'\"\n" } },
  {
    what: "does not use the directory's PATH to find the program",
    files: { PATH: "/nonexistent\n" },
    child: ["env", "-0"],
  },
  { what: "changes nothing for an empty directory" },
  { what: "fails for a missing directory", prepare: (directory) => rmdirSync(directory) },
  { what: "fails without a program", child: [] },
  { what: "fails for a subdirectory", prepare: (directory) => mkdirSync(join(directory, "sub")) },
  {
    what: "fails for a file that may not be read",
    files: { A: "x" },
    prepare: (at) => chmodSync(join(at, "A"), 0),
    asAccount: true,
  },
  {
    what: "fails for a directory that may not be read",
    prepare: (directory) => chmodSync(directory, 0o700),
    asAccount: true,
  },
  {
    what: "refuses a name with =",
    files: { "A=B": "x" },
    difference: "envdir-name",
    ends: { old: ends("A=B=x"), ours: REFUSED },
  },
  {
    what: "refuses a dangling link",
    prepare: (at) => symlinkSync("x", join(at, "A")),
    difference: "envdir-link",
    ends: { old: ends(), ours: REFUSED },
  },
  {
    what: "refuses a FIFO",
    prepare: (directory) => succeed("mkfifo", join(directory, "A")),
    difference: "envdir-fifo",
    ends: { old: ends(), ours: REFUSED },
  },
  {
    what: "removes a trailing carriage return",
    files: { A: "x\r\n" },
    difference: "envdir-cr",
    ends: { old: ends("A=x\r"), ours: ends("A=x") },
  },
  { what: "accepts a line of 4094 bytes", files: { A: `${"x".repeat(4094)}\n` } },
  { what: "accepts a line of 4095 bytes without a newline", files: { A: "x".repeat(4095) } },
  {
    what: "refuses a line of 5000 bytes",
    files: { A: `${"x".repeat(5000)}\n` },
    difference: "envdir-long",
    ends: { old: ends(`A=${"x".repeat(5000)}`), ours: REFUSED },
  },
  {
    what: "refuses a line of 4096 bytes without a newline",
    files: { A: "x".repeat(4096) },
    difference: "envdir-long",
    ends: { old: ends(`A=${"x".repeat(4096)}`), ours: REFUSED },
  },
  { what: "accepts 4 MB after the first line", files: { A: `x\n${"y\n".repeat(2_000_000)}` } },
  {
    what: "exits with 127 for a missing program",
    child: ["/nonexistent"],
    difference: "exit-127",
    ends: { old: REFUSED, ours: { code: 127, environment: [] } },
  },
];

const environmentAfter = (text: string): string[] =>
  text
    .split("\0")
    .filter((entry) => entry !== "" && !entry.startsWith("PWD="))
    .sort();

test.each(CASES.map((entry, index) => ({ ...entry, index })))("envdir $what", async (entry) => {
  const directory = join(stage.directory, `env${entry.index}`);
  mkdirSync(directory, { mode: 0o755 });
  for (const [name, text] of Object.entries(entry.files ?? {})) writeFileSync(join(directory, name), text);
  await entry.prepare?.(directory);
  const attempt = async (side: Side) => {
    const program = side === "old" ? "/usr/bin/envdir" : join(tools, "envdir");
    const words = [program, directory, ...(entry.child ?? ["/usr/bin/env", "-0"])];
    const { code, stdout, stderr } = await run([...(entry.asAccount ? nobody : []), ...words], {
      env: { A: "was", B: "was", PATH: "/usr/bin:/bin" },
    });
    if (code !== 0) expect(stderr, `${side} says why`).not.toBe("");
    return { code, environment: code === 0 ? environmentAfter(stdout) : [] };
  };
  await compare(attempt, entry.difference, entry.ends);
});

test("envdir sets PWD in an environment without it, unlike Debian's", async () => {
  const directory = join(stage.directory, "empty");
  mkdirSync(directory);
  const pwd = { difference: "pwd" };
  const attempt = async (side: Side) =>
    (await run([side === "old" ? "/usr/bin/envdir" : join(tools, "envdir"), directory, "/usr/bin/env"], { env: {} }))
      .stdout;
  await compare(attempt, pwd.difference, { old: "", ours: "PWD=/\n" });
});
