import { expect, test } from "vitest";
import { readInvocation } from "./invocation.ts";
import { COMMANDS } from "./table.ts";

const read = (line: string) => {
  const { command, ids, signal, size, values, given } = readInvocation(COMMANDS, line === "" ? [] : line.split(" "));
  return { command: command.name, ids: ids.join(" "), signal, size, values, given: [...given].join(" ") };
};
const statusOptions = [...(COMMANDS.find(({ name }) => name === "status")?.options ?? []), "help"]
  .map((option) => `"--${option}"`)
  .join(", ");
const plain = { ids: "", signal: "", size: 0, values: {}, given: "" };

test.each([
  ["", { command: "status" }],
  ["--json", { command: "status", given: "json" }],
  ["wordpress status", { command: "status", ids: "wordpress" }],
  ["status david/wordpress", { command: "status", ids: "david/wordpress" }],
  ["scan", { command: "rescan" }],
  ["wordpress restart", { command: "restart", ids: "wordpress" }],
  ["restart wordpress", { command: "restart", ids: "wordpress" }],
  ["restart a b c", { command: "restart", ids: "a b c" }],
  ["a stop b", { command: "stop", ids: "a b" }],
  ["restart restart", { command: "restart", ids: "restart" }],
  ["restart log", { command: "restart", ids: "log" }],
  ["david/log restart", { command: "restart", ids: "david/log" }],
  ["log web --lines 5 --raw", { command: "log", ids: "web", values: { lines: "5" }, given: "lines raw" }],
  ["web -n5 log -f", { command: "log", ids: "web", values: { lines: "5" }, given: "lines follow" }],
  ["tail --lines=0 web", { command: "tail", ids: "web", values: { lines: "0" }, given: "lines" }],
  ["kill -9 web", { command: "kill", ids: "web", signal: "KILL" }],
  ["kill web -9", { command: "kill", ids: "web", signal: "KILL" }],
  ["web kill -SIGKILL", { command: "kill", ids: "web", signal: "KILL" }],
  ["web kill KILL", { command: "kill", ids: "web", signal: "KILL" }],
  ["kill SIGHUP web", { command: "kill", ids: "web", signal: "HUP" }],
  ["-TERM kill web", { command: "kill", ids: "web", signal: "TERM" }],
  ["kill -HUP TERM", { command: "kill", ids: "TERM", signal: "HUP" }],
  ["kill 9 web", { command: "kill", ids: "web", signal: "KILL" }],
  ["--help", { command: "help", given: "help" }],
  ["restart --help", { command: "help", ids: "restart", given: "help" }],
  ["web scan -h", { command: "help", ids: "rescan", given: "help" }],
  ["help log", { command: "help", ids: "log" }],
  ["--version", { command: "version", given: "version" }],
  ["log web --grep=-v", { command: "log", ids: "web", values: { grep: "-v" }, given: "grep" }],
  ["-V", { command: "version", given: "version" }],
  ["web scale 3", { command: "scale", ids: "web", size: 3 }],
  ["scale web 64", { command: "scale", ids: "web", size: 64 }],
  ["scale 2 3", { command: "scale", ids: "2", size: 3 }],
  [
    "log web --since=1h --grep a|b",
    { command: "log", ids: "web", values: { since: "1h", grep: "a|b" }, given: "since grep" },
  ],
  ["explain --policy david restart amy/blog", { command: "explain", ids: "david restart amy/blog", given: "policy" }],
  ["stop -- web", { command: "stop", ids: "web" }],
])("`dmctl %s` is read as %j", (line, expected) => {
  expect(read(line)).toEqual({ ...plain, ...expected });
});

test.each([
  ["wordpress", 'unknown command "wordpress": see "dmctl help"'],
  ["web frobnicate", 'no command in "dmctl web frobnicate": see "dmctl help"'],
  ["web resart", 'unknown command "resart": did you mean "restart"?'],
  ["blog restat", 'unknown command "restat": did you mean "restart"?'],
  ["blog stauts", 'unknown command "stauts": did you mean "status"?'],
  ["restat starr", 'unknown command "starr": did you mean "start"?'],
  ["strart blog", 'unknown command "strart": did you mean "start"?'],
  ["reload blog", 'no command in "dmctl reload blog": see "dmctl help"'],
  ["blog logs", 'unknown command "logs": did you mean "log"?'],
  ["logs", 'unknown command "logs": see "dmctl help"'],
  ["cntinu", 'unknown command "cntinu": see "dmctl help"'],
  ["statsu", 'unknown command "statsu": did you mean "status"?'],
  ["start", "needs the name of a daemon"],
  ["pid a b", 'there is also "b"'],
  ["list web", "takes no daemon's name"],
  ["restart --lines 3 web", "no option --lines"],
  ["status --frobnicate", `unknown option "--frobnicate": expected one of ${statusOptions}`],
  ["web log --line=5", 'unknown option "--line": did you mean "--lines"?'],
  ["web --jason", 'unknown option "--jason": did you mean "--json"?'],
  ["-x", 'unknown option "-x": see "dmctl help"'],
  ["status -lx", `unknown option "-x": expected one of ${statusOptions}`],
  ["log web -q", 'unknown option "-q": expected one of "--lines", "--all",'],
  ["tail web --follow", '"tail" has no option --follow: it always follows the log'],
  ["tail web -f", '"tail" has no option --follow: it always follows the log'],
  ["tail web --folow", '"tail" has no option --follow: it always follows the log'],
  ["status --json=yes", 'option "--json" takes no value'],
  ["log web --grep -v", 'option "--grep" needs a value; if "-v" is the value, write --grep=-v'],
  ["scale web", "needs a daemon's name and a whole number from 1 to 64"],
  ["scale web 1K", 'expected a whole number from 1 to 64, found "1K"'],
  ["scale web 0", 'expected a whole number from 1 to 64, found "0"'],
  ["scale web 1.5", "needs a daemon's name and a whole number from 1 to 64"],
  ["scale web 65", 'expected a whole number from 1 to 64, found "65"'],
  ["log web --lines", 'option "--lines" needs a value: --lines N'],
  ["log web -n", 'option "-n" needs a value: --lines N'],
  ["log web -9", 'takes no signal "-9"'],
  ["kill", "needs the name of a daemon"],
  ["kill -9", "needs the name of a daemon"],
  ["kill web -0", '"-0" is no signal'],
  ["kill web 0", '"0" is no signal'],
  ["kill web -- -1000", '"-1000" is no signal'],
  ["kill web --1", 'unknown option "--1"'],
  ["kill web NOPE", '"NOPE" is no signal'],
  ["kill web -NOPE", '"-NOPE" is no signal'],
  ["kill blog -HPU", '"-HPU" is no signal that can be sent; did you mean "-HUP"?'],
  ["kill blog -SIGTREM", '"-SIGTREM" is no signal that can be sent; did you mean "-TERM"?'],
  ["kill blog hup", '"hup" is no signal; did you mean "HUP"?'],
  ["kill HPU blog", '"HPU" is no signal; did you mean "HUP"?'],
  ["blog kill -99", '"-99" is no signal that can be sent; write it as in'],
  ["kill HUP TERM", "takes one signal"],
  ["kill a b -9", 'there is also "b"'],
])("`dmctl %s` is a usage failure: %s", (line, message) => {
  expect(() => read(line)).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(message) }),
  );
});

test("an empty name of a daemon is a usage failure", () => {
  expect(() => readInvocation(COMMANDS, ["start", ""])).toThrow("cannot be empty");
});
