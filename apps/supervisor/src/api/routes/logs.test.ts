/** Logs over the control API: bytes as they come, and why there are none. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { brokenLog, errno, FakeEngine, fakeDaemon, fakeSurroundings, logOf, serve } from "../engine.fake.ts";
import type { ReadLog } from "../log-tail.ts";
import type { Surroundings } from "../server.ts";
import { SILENCE } from "./logs.ts";

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

const LOG = "GET /v1/daemons/blog/log";

test("a log is answered as its bytes, with the requested lines", async () => {
  const calls: unknown[] = [];
  const readLog: ReadLog = async function* (_daemon, { permitted, ...from }) {
    calls.push([from, permitted?.()]);
    yield Buffer.from([0xff, 0x0a]);
  };
  const { ask } = await api(undefined, { readLog });
  expect((await ask("amy", `${LOG}?lines=3&follow=1`)).text).toBe("\ufffd\n");
  expect(calls).toEqual([[{ lines: 3, since: undefined, follow: true }, true]]);
});

test("a log that is followed and silent at first is answered with the lines that come", async () => {
  const readLog: ReadLog = async function* () {
    await sleep(2 * SILENCE);
    yield Buffer.from("late\n");
  };
  const { ask } = await api(undefined, { readLog });
  expect((await ask("amy", `${LOG}?follow=1`)).text).toBe("late\n");
});

test("a log is not started with lines and with a time at once", async () => {
  const { ask } = await api();
  expect((await ask("amy", `${LOG}?lines=1&since=0`)).body.code).toBe("usage");
});

test.each<[string, Parameters<typeof fakeDaemon>[1], ReadLog, string]>([
  ["does not exist yet", {}, brokenLog(errno("ENOENT", "gone")), "the daemon has not written any output yet"],
  ["cannot be read", {}, brokenLog(errno("EACCES", "denied")), "denied"],
  ["is discarded", { definition: { output: "discard" } }, logOf(), "has no log"],
  [
    "is kept by a log/run",
    {
      definition: {
        output: "log/run",
        service: { directory: "/home/amy/service/blog" } as NonNullable<
          NonNullable<ReturnType<typeof fakeDaemon>["terms"]>["definition"]["service"]
        >,
      },
    },
    logOf(),
    "/home/amy/service/blog/log/run writes the log",
  ],
])("a log that %s is refused with the reason", async (_what, traits, readLog, reason) => {
  const { ask } = await api(fakeDaemon("amy/blog", traits), { readLog });
  const { status, body } = await ask("amy", LOG);
  expect([status, body.code]).toEqual([409, "not-applicable"]);
  expect(body.message).toContain(reason);
});
