/** Explanations: the exit, the policy, the settings and the log behind a daemon's state. */
import { afterEach, expect, test } from "vitest";
import type { State } from "../core/lifecycle.ts";
import {
  brokenLog,
  errno,
  FakeEngine,
  fakeDaemon,
  fakeSurroundings,
  logOf,
  POLICY_FILE,
  serve,
} from "./engine.fake.ts";
import type { ReadLog } from "./log-tail.ts";
import type { Surroundings } from "./server.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const api = async (daemon = fakeDaemon("amy/blog"), parts: Partial<Surroundings> = {}) => {
  const engine = new FakeEngine(daemon);
  const { ask, close } = await serve(engine, fakeSurroundings(parts));
  closing.push(close);
  return { ask, engine };
};

const EXPLANATION = "GET /v1/daemons/blog/explanation";

test("an explanation has the policy's lines, the budget, the settings and the last lines of the log", async () => {
  const { ask } = await api(undefined, { readLog: logOf("one", "two") });
  expect((await ask("amy", EXPLANATION)).body).toMatchObject({
    daemon: { id: "amy/blog" },
    lastExit: null,
    failures: 0,
    nextRetry: null,
    policy: {
      runAs: { allowed: true, source: `${POLICY_FILE}:2` },
      managers: [{ user: "david", source: `${POLICY_FILE}:5` }],
    },
    budget: [{ key: "processes", value: "20", source: `${POLICY_FILE}:7` }],
    log: { lines: ["one", "two"], problem: "" },
    containment: "cgroup",
  });
});

test("a manager sees no variable's value in an explanation, an owner does", async () => {
  const { ask } = await api();
  const secret = async (caller: string) => (await ask(caller, EXPLANATION)).body.settings[1];
  expect(await secret("amy")).toMatchObject({ key: "export PASSWORD", value: "secret" });
  expect(await secret("david")).toMatchObject({ key: "export PASSWORD", value: "(for amy and root only)" });
});

type Exit = NonNullable<State["last"]>["exit"];
test.each<[string, Exit, object]>([
  ["a code", { how: "code", code: 3 }, { how: "code", code: 3, signal: null, cause: null }],
  [
    "a code after the kernel killed a process out of memory",
    { how: "code", code: 137, cause: "out-of-memory" },
    { how: "code", code: 137, cause: "out-of-memory" },
  ],
  [
    "a signal after stop-timeout",
    { how: "signal", signal: "SIGKILL", cause: "stop-timeout" },
    { how: "signal", code: null, signal: "SIGKILL", cause: "stop-timeout" },
  ],
  [
    "its memory limit",
    { how: "out-of-memory", limit: 64, peak: undefined },
    { how: "out-of-memory", memory: { limit: 64, peak: null } },
  ],
  [
    "a failed launch",
    { how: "launch-failed", stage: "entering /srv/x", reason: "no such directory" },
    { how: "launch-failed", stage: "entering /srv/x" },
  ],
  ["files in its socket's directory", { how: "too-many-files", held: "65 files" }, { how: "too-many-files" }],
  ["a readiness that was not reported", { how: "not-ready", after: 30_000 }, { how: "not-ready" }],
  ["an exit that no supervisor saw", { how: "unknown" }, { how: "unknown", stage: null, memory: null }],
])("an explanation tells a run that ended by %s", async (_what, exit, expected) => {
  const state: Partial<State> = {
    phase: "coolingdown",
    want: "up",
    deadline: 65_000,
    last: { run: 7, exit, failed: true },
  };
  const { ask } = await api(fakeDaemon("amy/blog", { state }));
  const { body } = await ask("amy", EXPLANATION);
  expect(body.lastExit).toMatchObject({ run: 7, failed: true, text: expect.any(String), ...expected });
  expect(body.nextRetry).toBe(5);
});

test("an explanation of a daemon without a valid conf file has no settings", async () => {
  const daemon = fakeDaemon("amy/blog", { file: { definition: undefined, errors: ["blog.conf:1: wrong"] } });
  daemon.terms = undefined;
  const { ask } = await api(daemon);
  expect((await ask("amy", EXPLANATION)).body).toMatchObject({ settings: [], maxRetries: null });
});

test.each<[string, Parameters<typeof fakeDaemon>[1], ReadLog, string]>([
  ["is empty", {}, logOf(), "it is empty"],
  ["does not exist yet", {}, brokenLog(errno("ENOENT", "gone")), "nothing has been written yet"],
  ["cannot be read", {}, brokenLog(errno("EACCES", "denied")), "cannot be read: EACCES"],
  ["is discarded", { definition: { output: "discard" } }, logOf("one"), "it has no log: output=discard"],
])("an explanation says why there are no lines when the log %s", async (_what, traits, readLog, problem) => {
  const { ask } = await api(fakeDaemon("amy/blog", traits), { readLog });
  expect((await ask("amy", EXPLANATION)).body.log).toEqual({ lines: [], problem });
});

test("an explanation reads no more of a log than a bound, however long its lines are", async () => {
  let read = 0;
  const endless: ReadLog = async function* () {
    for (;;) {
      read += 1;
      yield Buffer.alloc(1 << 20, "x");
    }
  };
  const { ask } = await api(undefined, { readLog: endless });
  const { lines } = (await ask("amy", EXPLANATION)).body.log;
  expect([read, lines.length, lines[0].length]).toEqual([5, 1, 32 * 1024]);
});
