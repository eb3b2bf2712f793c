/** What a caller reads about a request that breaks a schema of the contract. */
import { afterEach, expect, test } from "vitest";
import { FakeEngine, fakeDaemon, fakeSurroundings, serve } from "./engine.fake.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

test.each<[string, unknown, string]>([
  ["POST /v1/daemons/blog/scale", { instances: 65 }, "instances: expected 1 to 64"],
  ["POST /v1/daemons/blog/scale", { instances: 0 }, "instances: expected 1 to 64"],
  ["POST /v1/daemons/blog/scale", { instances: 1.5 }, "instances: expected a whole number, 1 to 64"],
  ["POST /v1/daemons/blog/scale", { instances: "two" }, "instances: expected a whole number, 1 to 64"],
  ["POST /v1/daemons/blog/scale", { instances: "2" }, "instances: expected a whole number, 1 to 64"],
  ["POST /v1/daemons/blog/scale", {}, "instances: missing"],
  ["POST /v1/daemons/blog/kill", { signal: 9 }, "signal: expected a string"],
  ["POST /v1/daemons/blog/start", { force: true }, 'unknown field "force"'],
  ["POST /v1/daemons/blog/start", [], "body: expected a JSON object"],
  ["POST /v1/daemons/blog/scale", undefined, "body: expected a JSON object"],
  ["POST /v1/daemons/blog/scale", { instances: 1, instance: 2 }, 'unknown field "instance": did you mean "instances"?'],
  ["POST /v1/daemons/blog/scale", { instances: 1, ["x".repeat(99)]: 2 }, 'unknown field: expected one of "instances"'],
  ["POST /v1/daemons/blog/kill", { signal: "HPU" }, 'signal: did you mean "HUP"?'],
  ["POST /v1/daemons/blog/kill", { signal: [] }, "signal: expected a string"],
  ["POST /v1/daemons/blog/kill", { signal: "nothing" }, "signal: expected one of the 31 in the manual"],
  [
    "PUT /v1/daemons/blog/file",
    { text: "", fingerprint: "x".repeat(65) },
    "fingerprint: expected at most 64 characters",
  ],
  ["GET /v1/daemons?usage=2", undefined, 'usage: expected one of "1"'],
  ["GET /v1/daemons/blog?usage=1", undefined, 'unknown parameter "usage"'],
  ["GET /v1/policy?caller=amy", undefined, "verb: missing"],
  ["GET /v1/daemons/blog/log?follow=yes", undefined, 'follow: expected one of "0", "1"'],
  ["GET /v1/daemons/blog/log?lines=ten", undefined, "lines: expected a whole number, 0 to 10000000"],
  ["GET /v1/daemons/blog/log?lines=", undefined, "lines: expected a whole number, 0 to 10000000"],
  ["GET /v1/daemons/blog/log?lines=1&lines=2", undefined, "lines: expected a whole number, 0 to 10000000"],
  ["GET /v1/daemons/blog/log?lines=10000001", undefined, "lines: expected 0 to 10000000"],
])("the API refuses %s with the body %j in words: %s", async (line, body, message) => {
  const { ask, close } = await serve(new FakeEngine(fakeDaemon("amy/blog")), fakeSurroundings());
  closing.push(close);
  const answer = await ask("amy", line, body);
  expect([answer.status, answer.body]).toEqual([400, { code: "usage", message }]);
});

test("an endpoint that takes no body accepts an empty object", async () => {
  const { ask, close } = await serve(new FakeEngine(fakeDaemon("amy/blog")), fakeSurroundings());
  closing.push(close);
  expect((await ask("amy", "POST /v1/daemons/blog/start", {})).status).toBe(200);
});
