/** The scripts of the launch chain, in the interpreters that execute them. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as stages from "./stages.ts";

const { AS_ROOT, AS_ROOT_FOR_LOGGER, AWAIT_GO, ENTER_JAIL, LAUNCH_FAILED, READ_VARIABLES, TAKE_LOCK } = stages;
const { PREFIX, PREFIXED } = stages;

test("perl compiles the stage that reads env-dir and env-file without a warning", () => {
  const { status, stderr } = spawnSync("/usr/bin/perl", ["-wc", "-e", READ_VARIABLES], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, "-e syntax OK\n"]);
});

test.each(
  Object.entries({
    AS_ROOT,
    AS_ROOT_FOR_LOGGER,
    AWAIT_GO,
    ENTER_JAIL,
    TAKE_LOCK,
    becomeDaemon: stages.becomeDaemon("9>&-", "exec true"),
  }),
)("sh parses the stage %s", (_, text) => {
  const { status, stderr } = spawnSync("/bin/sh", ["-n"], { input: text, encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "dmhost-stages-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Prints the variables that the stages after it see, their names without the prefix, and the names that are listed. */
const PRINT = `print map { /^${PREFIX}(.*)/s ? "$1=$ENV{$_}\\0" : () } sort keys %ENV; print join(",", sort split / /, $ENV{${PREFIXED}})`;

interface Read {
  readonly code: number | null;
  /** `NAME=value` of each variable, and the names as a list. */
  readonly variables: readonly string[];
  /** Reason and stage of a failure. */
  readonly report: readonly string[];
}

/** Runs the stage with env-dir, env-file and pinned names, after these variables of the conf file. */
const read = (envDir: string, envFile: string, pinned = "", before: Readonly<Record<string, string>> = {}): Read => {
  const prefixed = Object.entries(before).map(([name, value]) => [`${PREFIX}${name}`, value]);
  const env = { PATH: "/usr/bin:/bin", ...Object.fromEntries(prefixed), [PREFIXED]: Object.keys(before).join(" ") };
  const argv = ["-e", READ_VARIABLES, envDir, envFile, pinned, "/usr/bin/perl", "-e", PRINT];
  const stdio = ["ignore", "pipe", "inherit", "pipe"] as const;
  const { status, output } = spawnSync("/usr/bin/perl", argv, { env, stdio: [...stdio], encoding: "utf8" });
  const [, stdout, , report] = output;
  return {
    code: status,
    variables: (stdout ?? "").split("\0"),
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
  expect(read(found, "")).toEqual({ code: 0, variables: ["LINES=a\nb", "PLAIN=value", "LINES,PLAIN"], report: [] });
});

test("an empty file of an env-dir removes a variable of the conf file", () => {
  const found = dir({ GONE: "" });
  const { variables } = read(found, "", "", { GONE: "1", STAYS: "2" });
  expect(variables).toEqual(["STAYS=2", "STAYS"]);
});

test("an env-file takes NAME=value lines with blanks, quotes and comments, and wins over the env-dir", () => {
  const lines = ["# comment", "; comment", "", " A = one ", 'B="two words"', "C='it'", 'D="open', "SAME=file"];
  const { variables } = read(dir({ SAME: "dir" }), file(`${lines.join("\n")}\n`));
  expect(variables).toEqual(["A=one", "B=two words", "C=it", 'D="open', "SAME=file", "A,B,C,D,SAME"]);
});

test("a pinned variable keeps the value of the conf file", () => {
  const { variables } = read(dir({ HOME: "" }), file("PATH=/tmp\nNEW=1\n"), "PATH HOME", { PATH: "/bin", HOME: "/h" });
  expect(variables).toEqual(["HOME=/h", "NEW=1", "PATH=/bin", "HOME,NEW,PATH"]);
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
  expect([code, variables]).toEqual([LAUNCH_FAILED, [""]]);
  expect(report).toHaveLength(2);
  expect(report[0]).toContain(reason);
});

test("an env-file that is a FIFO, a directory or missing fails the launch at once", () => {
  const fifo = join(directory, "fifo");
  execFileSync("mkfifo", [fifo]);
  expect(read("", fifo).report).toEqual([`${fifo}: not a regular file`, `reading env-file ${fifo}`]);
  expect(read("", directory).report).toEqual([`${directory}: not a regular file`, `reading env-file ${directory}`]);
  const missing = join(directory, "missing");
  expect(read("", missing).report).toEqual([`${missing}: No such file or directory`, `reading env-file ${missing}`]);
});

test("a file of an env-dir with a = in its name fails the launch, and its control characters are not printed", () => {
  const found = dir({ "A\x1b=B": "1" });
  expect(read(found, "").report).toEqual([`${found}: the name A?=B has a = in it`, `reading env-dir ${found}`]);
});
