/** The status of a daemon, field by field. */
import { expect, test } from "vitest";
import { describeExit } from "../core/exit.ts";
import { hostname } from "../core/hostname.ts";
import type { State } from "../core/lifecycle.ts";
import { fakeDaemon, USAGE } from "./engine.fake.ts";
import { present } from "./presentation.ts";

const NOW = 60_000;
const RUNNING: Partial<State> = { phase: "running", want: "up", run: 1, startedAt: 50_000, wantedAt: 30_000 };
const LAST = { run: 1, exit: { how: "code", code: 3 }, failed: true } as const;

test("times of a running daemon are seconds up to now", () => {
  const status = present(fakeDaemon("amy/blog", { state: RUNNING }), NOW);
  expect(status).toMatchObject({ id: "amy/blog", owner: "amy", name: "blog", state: "running", desiredState: "up" });
  expect(status).toMatchObject({ pid: 4711, uptime: 10, total: 30, downtime: 0, cooldown: 0, reason: "" });
});

test("a stopped daemon has no uptime, and the seconds since its last process", () => {
  expect(present(fakeDaemon("amy/blog"), NOW)).toMatchObject({
    pid: 0,
    uptime: 0,
    total: 0,
    downtime: 60,
    usage: null,
  });
});

test("a paused daemon has that state, whatever its phase", () => {
  expect(present(fakeDaemon("amy/blog", { state: { ...RUNNING, paused: true } }), NOW).state).toBe("paused");
});

test.each<[string, Partial<State>, string]>([
  ["a blocked daemon", { phase: "forbidden", block: { kind: "forbidden", reason: "no grant" } }, "no grant"],
  ["a daemon that cools down", { phase: "coolingdown", last: LAST }, "exited with code 3"],
  [
    "a throttled daemon",
    { phase: "coolingdown", last: LAST, throttled: true },
    "exited with code 3; its owner's restarts of this minute are used up ([limits])",
  ],
  ["a failed daemon", { phase: "failed", last: LAST, failures: 4 }, "exited with code 3; given up after 4 failed runs"],
  [
    "a daemon whose program asks not to be run again",
    { phase: "failed", last: { ...LAST, exit: { how: "code", code: 100 } } },
    describeExit({ how: "code", code: 100 }),
  ],
  [
    "a daemon whose finish fails for good",
    { phase: "failed", last: { ...LAST, permanent: true } },
    "exited with code 3; its finish exited with 125: no further run",
  ],
])("the reason of %s is shown", (_what, state, reason) => {
  expect(present(fakeDaemon("amy/blog", { state }), NOW).reason).toBe(reason);
});

test("a daemon that cools down has the seconds until its next start", () => {
  const state = { phase: "coolingdown", last: LAST, deadline: 62_500 } as const;
  expect(present(fakeDaemon("amy/blog", { state }), NOW).cooldown).toBe(2.5);
});

test("the usage of two instances is their sum, and the highest pressure of the two", () => {
  const daemon = fakeDaemon("amy/blog", { state: RUNNING, usage: { ...USAGE, memoryPeak: undefined }, size: 2 });
  daemon.oomKilled = 3;
  expect(present(daemon, NOW, true).usage).toEqual({
    memory: 2000,
    memoryPeak: null,
    memoryPressure: 1.5,
    processes: 4,
    cpu: 1,
    cpuThrottled: 0.25,
    oomKills: 3,
  });
  expect(present(daemon, NOW).usage).toBeNull();
});

test("a site that is published has the paths of its logs, a refused one a warning", () => {
  const daemon = fakeDaemon("amy/blog", { state: RUNNING });
  const name = hostname("blog.example.org");
  if (name === undefined) throw new Error("blog.example.org is a host name");
  const url = "http://blog.example.org/";
  const logs = { access: "/logs/access", error: "/logs/error", problem: "amy cannot read /logs" };
  daemon.hosts = [
    { name, state: "published", reason: "", url, logs },
    { name, state: "refused", reason: "no grant", url, logs: undefined },
  ];
  const { hosts, warnings } = present(daemon, NOW);
  expect(hosts.map(({ accessLog, errorLog, logProblem }) => [accessLog, errorLog, logProblem])).toEqual([
    ["/logs/access", "/logs/error", "amy cannot read /logs"],
    ["", "", ""],
  ]);
  expect(warnings).toEqual(["no grant", "amy cannot read /logs"]);
});

test("a limit says what enforces it, and one that nothing enforces is a warning", () => {
  const daemon = fakeDaemon("amy/blog", { state: RUNNING });
  daemon.limits = [{ key: "cpu", value: "0.5", budget: false, by: "nothing", pending: false, note: "not enforced" }];
  daemon.means = { controllers: new Set(), why: "no cgroup v2" };
  const { limits, warnings } = present(daemon, NOW);
  expect(limits).toEqual({
    enforcedBy: "nothing (no cgroup v2)",
    keys: [{ key: "cpu", value: "0.5", budget: false, enforcedBy: "nothing", pending: false, note: "not enforced" }],
  });
  expect(warnings).toEqual(["cpu=0.5 is not enforced: no cgroup v2"]);
});

test("the reason of a block is not repeated as a warning", () => {
  const state = { phase: "invalid", block: { kind: "invalid", reason: "blog.conf:1: wrong" } } as const;
  const daemon = fakeDaemon("amy/blog", { state, file: { errors: ["blog.conf:1: wrong", "blog.conf:2: wrong"] } });
  expect(present(daemon, NOW).warnings).toEqual(["blog.conf:2: wrong"]);
});

test("a daemon that never had terms is shown by what its conf file says", () => {
  const daemon = fakeDaemon("amy/blog", { definition: { autostart: false } });
  daemon.terms = undefined;
  expect(present(daemon, NOW)).toMatchObject({ autostart: false, user: "amy", logFile: "" });
});
