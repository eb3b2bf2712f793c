import { expect, test } from "vitest";
import { daemon } from "../supervisor.fake.ts";
import { svstatLine } from "./svstat-line.ts";

const HOME = "/home/alice";
const SERVICE = { configFile: `${HOME}/service/site1/run`, uptime: 3600.9 };
const DOWN = { ...SERVICE, pid: 0, uptime: 0, downtime: 5.2, desiredState: "down" } as const;

test.each([
  [SERVICE, "~/service/site1: up (pid 4711) 3600 seconds"],
  [{ ...SERVICE, autostart: false }, "~/service/site1: up (pid 4711) 3600 seconds, normally down"],
  [{ ...SERVICE, desiredState: "down" as const }, "~/service/site1: up (pid 4711) 3600 seconds, want down"],
  [
    { ...SERVICE, autostart: false, state: "paused" as const },
    "~/service/site1: up (pid 4711) 3600 seconds, normally down, paused",
  ],
  [DOWN, "~/service/site1: down 5 seconds, normally up"],
  [{ ...DOWN, autostart: false }, "~/service/site1: down 5 seconds"],
  [{ ...DOWN, desiredState: "up" as const, state: "failed" as const }, "~/service/site1: down 5 seconds, normally up"],
  [{ ...DOWN, desiredState: "up" as const }, "~/service/site1: down 5 seconds, normally up, want up"],
  [{}, "~/.daemon-manager/daemons/site1.conf: up (pid 4711) 60 seconds"],
  [{ configFile: "/home/alice2/service/x/run" }, "/home/alice2/service/x: up (pid 4711) 60 seconds"],
])("a daemon with %j is printed as %j", (fields, line) => {
  expect(svstatLine(daemon("alice/site1", fields), HOME)).toBe(line);
});

test("without HOME, no path is shortened", () => {
  expect(svstatLine(daemon("alice/site1", SERVICE), undefined)).toMatch(/^\/home\/alice\/service\/site1: /);
});
