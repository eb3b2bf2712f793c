import { describe, expect, test } from "vitest";
import { readFlags, USAGE } from "./flags.ts";

const nothing = (): boolean => false;

describe("the supervisor's command line", () => {
  test("the supervisor's command line has a default for every option", () => {
    expect(readFlags([], nothing)).toEqual({
      config: "/etc/daemon-manager.conf",
      runDir: "/run/dmhost",
      fastcgiDir: "/run/fastcgi",
      stateDir: "/var/lib/dmhost",
      sitesDir: undefined,
      siteLogsDir: "/var/log/dmhost-sites",
      httpPort: 80,
      reloadInterval: 15_000,
      toolsDir: undefined,
      logLevel: "info",
      end: false,
      help: false,
      version: false,
    });
  });

  test("the supervisor's command line takes the policy file that exists", () => {
    const second = "/etc/daemon-manager/daemon-manager.conf";
    expect(readFlags([], (path) => path === second).config).toBe(second);
  });

  test("the supervisor's command line makes directories absolute", () => {
    expect(readFlags(["--run-dir", "run", "--sites-dir", "/s/", "--tools-dir", "t"], nothing)).toMatchObject({
      runDir: `${process.cwd()}/run`,
      sitesDir: "/s",
      toolsDir: `${process.cwd()}/t`,
    });
  });

  test.each([
    [["--http-port", "0"], "--http-port 0: expected a TCP port from 1 to 65535"],
    [["--http-port", "65536"], "--http-port 65536"],
    [["--http-port", "80x"], "--http-port 80x"],
    [["--reload-interval", "soon"], "--reload-interval soon: expected 0 or a duration from 1ms to 1d, such as 10s"],
    [["--reload-interval", "25d"], "--reload-interval 25d: expected 0 or a duration from 1ms to 1d"],
    [["--log-level", "loud"], "--log-level loud: expected one of fatal, error"],
    [["--nosuch"], "--nosuch"],
    [["stray"], "stray"],
  ])("the supervisor's command line refuses %j", (args, message) => {
    expect(() => readFlags(args, nothing)).toThrow(message);
  });

  test("the supervisor's command line is described completely by its usage", () => {
    const directories = ["run-dir", "fastcgi-dir", "state-dir", "sites-dir", "site-logs-dir", "tools-dir"];
    for (const option of ["config", ...directories, "http-port", "reload-interval", "log-level", "help", "version"])
      expect(USAGE).toMatch(new RegExp(`^  --${option} `, "m"));
  });
});
