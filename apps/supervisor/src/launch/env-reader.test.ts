/** The reader of variables, in the interpreter that executes it. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { variablesReader } from "./env-reader.ts";

test("perl compiles the reader without a warning", () => {
  const [program = "", , script = ""] = variablesReader({ envDir: "/", envFile: "/" }, new Map(), []).words;
  const { status, stderr } = spawnSync(program, ["-wc", "-e", script], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, "-e syntax OK\n"]);
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-stages-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Read {
  readonly code: number | null;
  /** `NAME=value` of each variable. */
  readonly variables: readonly string[];
  /** Reason and stage of a failure. */
  readonly report: readonly string[];
}

/** Executes the reader with env-dir, env-file and pinned names, after these variables of the conf file. */
const read = (envDir: string, envFile: string, pinned = "", before: Readonly<Record<string, string>> = {}): Read => {
  const sources = { envDir: envDir || undefined, envFile: envFile || undefined };
  const { words, environment } = variablesReader(sources, new Map(Object.entries(before)), pinned.split(" "));
  const [program = "", ...args] = words;
  const stdio = ["ignore", "pipe", "inherit", "pipe"] as const;
  const env = Object.fromEntries(environment);
  const { status, output } = spawnSync(program, args, { env, stdio: [...stdio], encoding: "utf8" });
  const [, stdout, , report] = output;
  return {
    code: status,
    variables: (stdout ?? "").split("\0").filter((each) => each !== ""),
    report: (report ?? "").split("\n").filter((line) => line !== ""),
  };
};

const file = (text: string): string => {
  const path = join(directory, "file");
  writeFileSync(path, text);
  return path;
};
const dir = (files: Readonly<Record<string, string>>): string => {
  const path = join(directory, "dir");
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
};

test("an env-dir gives each file's first line without trailing blanks, and NUL as a newline", () => {
  const found = dir({ PLAIN: "value \t\nsecond line\n", LINES: "a\0b", ".hidden": "no", "not-a-name": "no" });
  expect(read(found, "")).toEqual({ code: 0, variables: ["LINES=a\nb", "PLAIN=value"], report: [] });
});

test("an empty file of an env-dir removes a variable of the conf file", () => {
  const found = dir({ GONE: "" });
  const { variables } = read(found, "", "", { GONE: "1", STAYS: "2" });
  expect(variables).toEqual(["STAYS=2"]);
});

test("an env-file takes NAME=value lines with blanks, quotes and comments, and wins over the env-dir", () => {
  const lines = ["# comment", "; comment", "", " A = one ", 'B="two words"', "C='it'", 'D="open', "SAME=file"];
  const { variables } = read(dir({ SAME: "dir" }), file(`${lines.join("\n")}\n`));
  expect(variables).toEqual(["A=one", "B=two words", "C=it", 'D="open', "SAME=file"]);
});

test("a pinned variable keeps the value of the conf file", () => {
  const { variables } = read(dir({ HOME: "" }), file("PATH=/tmp\nNEW=1\n"), "PATH HOME", { PATH: "/bin", HOME: "/h" });
  expect(variables).toEqual(["HOME=/h", "NEW=1", "PATH=/bin"]);
});

test.each([
  ["a line without a name", "A=1\nno name\n", "line 2 is not NAME=value"],
  ["a NUL", "A=a\0b\n", "line 1 is not NAME=value"],
  ["a name that is reserved for the launch", "DMHOST_VAR_X=1\n", "the name DMHOST_VAR_X is reserved for"],
  ["an OPTIND that is no number", "OPTIND=x\n", "OPTIND is no number"],
  ["more than 64 KiB", "#".repeat(65_537), "more than 64 KiB"],
  [
    "more than 1000 variables",
    Array.from({ length: 1001 }, (_, index) => `V${index}=1\n`).join(""),
    "more than 1000 variables",
  ],
])("an env-file with %s fails the launch with the reason", (_, text, reason) => {
  const { code, variables, report } = read("", file(text));
  expect([code, variables]).toEqual([111, []]);
  expect(report).toHaveLength(2);
  expect(report[0]).toContain(reason);
});

test("an env-file that is a FIFO, a directory or missing fails the launch at once", () => {
  const fifo = join(directory, "fifo");
  execFileSync("mkfifo", [fifo]);
  expect(read("", fifo).report).toEqual(["not a regular file", `reading env-file ${fifo}`]);
  expect(read("", directory).report).toEqual(["not a regular file", `reading env-file ${directory}`]);
  const missing = join(directory, "missing");
  expect(read("", missing).report).toEqual(["no such file or directory", `reading env-file ${missing}`]);
});

test("a file of an env-dir with a = in its name fails the launch, and its control characters are not printed", () => {
  const found = dir({ "A\x1b=B": "1" });
  expect(read(found, "").report).toEqual(["the name A?=B has a = in it", `reading env-dir ${found}`]);
});
