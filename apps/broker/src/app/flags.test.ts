import { expect, test } from "vitest";
import { readFlags } from "./flags.ts";

const needed = ["--config", "/p", "--state", "/s", "--guests", "/g", "--shim", "/h", "--socket", "/b.sock"];

test("the command line has defaults for the engine, the peer and the log", () => {
  expect(readFlags(needed)).toEqual({
    config: "/p",
    state: "/s",
    guests: "/g",
    shim: "/h",
    socket: "/b.sock",
    engine: "/var/run/docker.sock",
    peer: 0,
    logLevel: "info",
  });
  expect(readFlags([...needed, "--engine", "/e", "--peer", "7", "--log-level", "debug"])).toMatchObject({
    engine: "/e",
    peer: 7,
    logLevel: "debug",
  });
  expect(readFlags(["--help"])).toBe("help");
  expect(readFlags(["--check", "--engine", "/e"])).toEqual({ check: "/e" });
});

test.each([
  [needed.slice(2), "--config is missing"],
  [[...needed, "--peer", "root"], "--peer root: expected a uid"],
  [[...needed, "--log-level", "loud"], "--log-level loud: expected one of"],
  [[...needed, "--exec"], "--exec"],
])("the command line %j is refused: %s", (args, reason) => {
  expect(() => readFlags(args)).toThrow(reason);
});
