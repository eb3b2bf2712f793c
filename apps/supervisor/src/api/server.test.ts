/** The control API as a server: validation, bounds, errors, and that answers have the fields of the contract alone. */
import { afterEach, expect, test, vi } from "vitest";
import { FakeEngine, fakeDaemon, fakeSurroundings, HEALTH, POLICY_FILE, serve, USAGE } from "./engine.fake.ts";
import { present } from "./presentation.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const api = async (engine = new FakeEngine(fakeDaemon("amy/blog")), about = fakeSurroundings()) => {
  const { ask, close } = await serve(engine, about);
  closing.push(close);
  return { ask, engine, about };
};

test.each<[string, unknown]>([
  ["POST /v1/daemons/blog/scale", { instances: 0 }],
  ["POST /v1/daemons/blog/scale", { instances: 65 }],
  ["POST /v1/daemons/blog/scale", { instances: 1.5 }],
  ["POST /v1/daemons/blog/scale", { instances: 1, force: true }],
  ["POST /v1/daemons/blog/scale", undefined],
  ["POST /v1/daemons/blog/kill", { signal: "SIGTERM" }],
  ["POST /v1/daemons/blog/kill", "{"],
  ["PUT /v1/daemons/blog/file", { text: "" }],
  ["PUT /v1/daemons/blog/file", { text: "", fingerprint: "x".repeat(65) }],
  ["GET /v1/daemons?usage=2", undefined],
  ["GET /v1/daemons?verbose=1", undefined],
  ["GET /v1/daemons/blog?usage=1", undefined],
  ["GET /v1/daemons/blog/log?lines=10000001", undefined],
  ["GET /v1/daemons/blog/log?since=-1", undefined],
  ["GET /v1/daemons/blog/log?follow=yes", undefined],
  ["GET /v1/policy?caller=amy&verb=destroy&address=amy%2Fblog", undefined],
  ["GET /v1/policy?caller=amy", undefined],
  [`GET /v1/policy?caller=${"a".repeat(65)}&verb=start&address=amy%2Fblog`, undefined],
  ["GET /v1/daemons/%ff", undefined],
  ["GET /v2/health", undefined],
  ["DELETE /v1/daemons/blog", undefined],
])("%s with the body %j is wrong usage", async (line, body) => {
  const { ask } = await api();
  const { status, body: answer } = await ask("amy", line, body);
  expect([status, answer]).toEqual([400, { code: "usage", message: expect.any(String) }]);
});

test("an address that is longer than two names can be is refused", async () => {
  const { ask } = await api();
  const { status, body } = await ask("amy", `GET /v1/daemons/${"a".repeat(301)}`);
  expect([status, body.code]).toEqual([414, "usage"]);
});

test("a body that is longer than a conf file can be is refused before it is read", async () => {
  const { ask } = await api();
  const { status, body } = await ask("amy", "PUT /v1/daemons/blog/file", {
    text: "#".repeat(200_000),
    fingerprint: "",
  });
  expect([status, body.code]).toEqual([413, "usage"]);
});

test("the list of daemons is byte for byte what JSON makes of their statuses", async () => {
  const blog = fakeDaemon("amy/blog", { usage: USAGE, state: { phase: "running", startedAt: 0 }, size: 2 });
  const odd = fakeDaemon("amy/odd", { file: { warnings: ['"\\\u0000\u2028\ud800 é'] } });
  const { ask, about } = await api(new FakeEngine(blog, odd));
  const daemons = [blog, odd].map((daemon) => present(daemon, about.now(), true));
  expect((await ask("amy", "GET /v1/daemons?usage=1")).text).toBe(JSON.stringify({ daemons }));
});

test("a field that the contract does not name does not leave the supervisor", async () => {
  const health = { ...HEALTH, environment: { PASSWORD: "secret" } };
  const { ask } = await api(undefined, fakeSurroundings({ health: () => health }));
  expect((await ask("eve", "GET /v1/health")).body).toEqual(HEALTH);
});

test("an unexpected error is reported to the supervisor's log, and the caller does not see its text", async () => {
  const fault = new Error("secret");
  const about = fakeSurroundings({
    health: () => {
      throw fault;
    },
  });
  const { ask } = await api(undefined, about);
  const { status, body } = await ask("eve", "GET /v1/health");
  expect([status, body]).toEqual([
    500,
    { code: "internal", message: "the supervisor failed to carry this out; its log has the reason" },
  ]);
  expect(about.internal).toEqual([fault]);
});

test("a supervisor that is stopping refuses every request", async () => {
  const { ask, engine } = await api();
  engine.stopping = true;
  const { status, body } = await ask("root", "GET /v1/health");
  expect([status, body.code]).toEqual([503, "stopping"]);
});

test.each<[user: string, request: string, owners: readonly string[] | undefined]>([
  ["root", "GET /v1/daemons", undefined],
  ["root", "GET /v1/daemons/blog", undefined],
  ["root", "GET /v1/daemons/amy%2Fblog", ["amy"]],
  ["amy", "GET /v1/daemons/blog", ["amy"]],
  ["david", "GET /v1/daemons", ["amy"]],
])("during the start, a request of %s, %s, waits until the daemons of %j are known", async (user, request, owners) => {
  const gate = Promise.withResolvers<void>();
  const waited: unknown[] = [];
  const about = fakeSurroundings({
    known: (concerned) => {
      waited.push(concerned);
      return gate.promise;
    },
  });
  const { ask } = await api(new FakeEngine(), about);
  expect((await ask(user, "GET /v1/health")).status).toBe(200);
  let isAnswered = false;
  const answer = ask(user, request).finally(() => {
    isAnswered = true;
  });
  await vi.waitFor(() => expect(waited).toEqual([owners]));
  expect(isAnswered).toBe(false);
  gate.resolve();
  expect((await answer).status).not.toBe(500);
});

test("a rescan by an owner looks at the owners that they may manage, and leaves the policy as it is", async () => {
  const reloads: string[] = [];
  const about = fakeSurroundings({
    reloadPolicy: async () => {
      reloads.push("policy");
      return [`${POLICY_FILE}:3: unknown account`];
    },
  });
  const { ask, engine } = await api(undefined, about);
  engine.report = { ...engine.report, found: ["amy/blog"], problems: ["a.conf:1: wrong"] };
  expect((await ask("david", "POST /v1/rescan")).body).toMatchObject({
    found: ["amy/blog"],
    problems: ["a.conf:1: wrong"],
  });
  expect([engine.rescans, reloads]).toEqual([[["amy"]], []]);
  const byRoot = await ask("root", "POST /v1/rescan");
  expect(byRoot.body.problems).toEqual([`${POLICY_FILE}:3: unknown account`, "a.conf:1: wrong"]);
  expect(engine.rescans.at(-1)).toEqual(["root", "amy", "bob"]);
});

test("a rescan with a policy that has errors is refused with each of them, and rescans nothing", async () => {
  const about = fakeSurroundings({ reloadPolicy: () => Promise.reject(new Error("p:1: wrong\np:2: wrong, too")) });
  const { ask, engine } = await api(undefined, about);
  const { status, body } = await ask("root", "POST /v1/rescan");
  expect([status, body.code, body.details]).toEqual([422, "invalid-file", ["p:1: wrong", "p:2: wrong, too"]]);
  expect(engine.rescans).toEqual([]);
});

test("an export has the policy's grants with their lines, and the state machine of every daemon", async () => {
  const state = { phase: "running", want: "up", run: 3, startedAt: 30_000, wantedAt: 20_000 } as const;
  const { ask } = await api(new FakeEngine(fakeDaemon("amy/blog", { state }), fakeDaemon("bob/blog")));
  const { body } = await ask("root", "GET /v1/export");
  expect(body.policy).toEqual({
    file: POLICY_FILE,
    owners: ["root", "amy", "bob"],
    runsAs: expect.arrayContaining([{ holder: "amy", object: "www-data", source: `${POLICY_FILE}:2` }]),
    manages: [{ holder: "david", object: "amy", source: `${POLICY_FILE}:5` }],
    hosts: [],
    images: [],
  });
  const [first, second] = body.daemons;
  expect(first.lifecycle).toMatchObject({ phase: "running", desiredState: "up", run: 3, deadline: null, block: null });
  expect(Date.parse(first.lifecycle.startedAt) - Date.parse(first.lifecycle.upRequestedAt)).toBe(10_000);
  expect(second.lifecycle).toMatchObject({ phase: "stopped", startedAt: null });
});
