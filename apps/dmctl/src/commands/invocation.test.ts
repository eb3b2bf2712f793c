import { expect, test } from "vitest";
import { COMMANDS } from "./commands.ts";
import { readInvocation } from "./invocation.ts";

const read = (line: string) => {
  const { command, ids, signal, lines, given } = readInvocation(COMMANDS, line === "" ? [] : line.split(" "));
  return { verb: command.verb, ids: ids.join(" "), signal, lines, given: [...given].join(" ") };
};
const plain = { ids: "", signal: "", lines: undefined, given: "" };

test.each([
  ["", { verb: "status" }],
  ["--json", { verb: "status", given: "json" }],
  ["wordpress status", { verb: "status", ids: "wordpress" }],
  ["status david/wordpress", { verb: "status", ids: "david/wordpress" }],
  ["scan", { verb: "rescan" }],
  ["wordpress restart", { verb: "restart", ids: "wordpress" }],
  ["restart wordpress", { verb: "restart", ids: "wordpress" }],
  ["restart a b c", { verb: "restart", ids: "a b c" }],
  ["a stop b", { verb: "stop", ids: "a b" }],
  ["restart restart", { verb: "restart", ids: "restart" }],
  ["restart log", { verb: "restart", ids: "log" }],
  ["david/log restart", { verb: "restart", ids: "david/log" }],
  ["log web --lines 5 --raw", { verb: "log", ids: "web", lines: 5, given: "lines raw" }],
  ["web -n5 log -f", { verb: "log", ids: "web", lines: 5, given: "lines follow" }],
  ["tail --lines=0 web", { verb: "tail", ids: "web", lines: 0, given: "lines" }],
  ["kill -9 web", { verb: "kill", ids: "web", signal: "KILL" }],
  ["kill web -9", { verb: "kill", ids: "web", signal: "KILL" }],
  ["web kill -SIGKILL", { verb: "kill", ids: "web", signal: "KILL" }],
  ["web kill KILL", { verb: "kill", ids: "web", signal: "KILL" }],
  ["kill SIGHUP web", { verb: "kill", ids: "web", signal: "HUP" }],
  ["-TERM kill web", { verb: "kill", ids: "web", signal: "TERM" }],
  ["kill -HUP TERM", { verb: "kill", ids: "TERM", signal: "HUP" }],
  ["kill 9 web", { verb: "kill", ids: "web", signal: "KILL" }],
  ["--help", { verb: "help", given: "help" }],
  ["restart --help", { verb: "help", ids: "restart", given: "help" }],
  ["web scan -h", { verb: "help", ids: "rescan", given: "help" }],
  ["help log", { verb: "help", ids: "log" }],
  ["--version", { verb: "version", given: "version" }],
  ["-V", { verb: "version", given: "version" }],
  ["stop -- web", { verb: "stop", ids: "web" }],
])("dmctl %s", (line, expected) => {
  expect(read(line)).toEqual({ ...plain, ...expected });
});

test.each([
  ["wordpress", 'no command in "dmctl wordpress"'],
  ["web frobnicate", "no command"],
  ["start", "needs the name of a daemon"],
  ["pid a b", 'there is also "b"'],
  ["list web", "takes no daemon's name"],
  ["restart --lines 3 web", "no option --lines"],
  ["status --frobnicate", "Unknown option '--frobnicate'"],
  ["log web --lines many", 'takes a number, not "many"'],
  ["log web --lines", "--lines"],
  ["log web -9", 'takes no signal "-9"'],
  ["kill", "needs the name of a daemon"],
  ["kill -9", "needs the name of a daemon"],
  ["kill web -0", '"-0" is no signal'],
  ["kill web 0", '"0" is no signal'],
  ["kill web -- -1000", '"-1000" is no signal'],
  ["kill web --1", "Unknown option"],
  ["kill web NOPE", '"NOPE" is no signal'],
  ["kill web -NOPE", '"-NOPE" is no signal'],
  ["kill HUP TERM", "takes one signal"],
  ["kill a b -9", 'there is also "b"'],
])("dmctl %s is refused", (line, message) => {
  expect(() => read(line)).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(message) }),
  );
});

test("an empty name is refused", () => {
  expect(() => readInvocation(COMMANDS, ["start", ""])).toThrow("cannot be empty");
});
