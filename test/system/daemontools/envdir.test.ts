/** `envdir`, Debian's and ours, on the same directories. */
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
  /** Files of the directory; those of A..Z begin as `was` in the environment. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** What else there is to it. */
  readonly prepare?: (directory: string) => unknown;
  /** Run as an account that is not root. */
  readonly asAccount?: boolean;
  readonly child?: readonly string[];
  readonly difference?: string;
  /** With a difference: how both end. */
  readonly ends?: Sides;
}

const REFUSED = { code: 111, environment: [] };
/** Ends well, with these variables and what nothing was said of. */
const ends = (...variables: string[]) => ({
  code: 0,
  environment: ["B=was", "PATH=/usr/bin:/bin", ...variables].sort(),
});

const CASES: readonly Case[] = [
  { what: "a value", files: { A: "plain\n" } },
  { what: "a value without a newline", files: { A: "plain" } },
  { what: "only the first line", files: { A: "one\ntwo\n" } },
  { what: "trailing blanks and tabs", files: { A: "x \t \n" } },
  { what: "leading blanks stay", files: { A: "  x\n" } },
  { what: "NUL is newline", files: { A: "a\0b\0\n" } },
  { what: "an empty file unsets", files: { A: "" } },
  { what: "an empty line sets to nothing", files: { A: "\n" } },
  { what: "blanks alone set to nothing", files: { A: " \t" } },
  { what: "names with a dot in front", files: { ".A": "x", B: "y" } },
  { what: "names that no shell takes", files: { "1 a-b": "x" } },
  { what: "bytes that are no UTF-8", files: { A: Buffer.from("\xe9\xff\n", "latin1") } },
  { what: "a value that looks like shell", files: { A: "$(exit 3)`x`\\'\"\n" } },
  {
    what: "PATH of the directory does not choose the program",
    files: { PATH: "/nonexistent\n" },
    child: ["env", "-0"],
  },
  { what: "an empty directory" },
  { what: "no such directory", prepare: (directory) => rmdirSync(directory) },
  { what: "no program", child: [] },
  { what: "a subdirectory", prepare: (directory) => mkdirSync(join(directory, "sub")) },
  {
    what: "a file that may not be read",
    files: { A: "x" },
    prepare: (at) => chmodSync(join(at, "A"), 0),
    asAccount: true,
  },
  { what: "a directory that may not be read", prepare: (directory) => chmodSync(directory, 0o700), asAccount: true },
  {
    what: "a name with =",
    files: { "A=B": "x" },
    difference: "envdir-name",
    ends: { old: ends("A=B=x"), ours: REFUSED },
  },
  {
    what: "a link that leads nowhere",
    prepare: (at) => symlinkSync("x", join(at, "A")),
    difference: "envdir-link",
    ends: { old: ends(), ours: REFUSED },
  },
  {
    what: "a FIFO",
    prepare: (directory) => succeed("mkfifo", join(directory, "A")),
    difference: "envdir-fifo",
    ends: { old: ends(), ours: REFUSED },
  },
  {
    what: "a carriage return",
    files: { A: "x\r\n" },
    difference: "envdir-cr",
    ends: { old: ends("A=x\r"), ours: ends("A=x") },
  },
  { what: "4094 bytes", files: { A: `${"x".repeat(4094)}\n` } },
  { what: "4095 bytes without a newline", files: { A: "x".repeat(4095) } },
  {
    what: "5000 bytes",
    files: { A: `${"x".repeat(5000)}\n` },
    difference: "envdir-long",
    ends: { old: ends(`A=${"x".repeat(5000)}`), ours: REFUSED },
  },
  {
    what: "4096 bytes without a newline",
    files: { A: "x".repeat(4096) },
    difference: "envdir-long",
    ends: { old: ends(`A=${"x".repeat(4096)}`), ours: REFUSED },
  },
  { what: "4 MB behind the first line", files: { A: `x\n${"y\n".repeat(2_000_000)}` } },
  {
    what: "no such program",
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

test.each(CASES.map((entry, index) => ({ ...entry, index })))("$what", async (entry) => {
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

test("a script leaves its own PWD in an environment without one", async () => {
  const directory = join(stage.directory, "empty");
  mkdirSync(directory);
  const pwd = { difference: "pwd" };
  const attempt = async (side: Side) =>
    (await run([side === "old" ? "/usr/bin/envdir" : join(tools, "envdir"), directory, "/usr/bin/env"], { env: {} }))
      .stdout;
  await compare(attempt, pwd.difference, { old: "", ours: "PWD=/\n" });
});
