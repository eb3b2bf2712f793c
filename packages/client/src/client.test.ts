import { afterEach, expect, test, vi } from "vitest";
import { apiPath, clientAt } from "./client.ts";
import type { UnixFetch, UnixRequest, UnixResponse } from "./unix-fetch.ts";

const SOCKET = "/run/dmhost/command.sock";

afterEach(() => {
  vi.useRealTimers();
});

/** A fetch that answers each request with `status` and `text`, and keeps the requests. */
const answering = (status: number, text: string) => {
  const asked: [string, UnixRequest][] = [];
  const fetch: UnixFetch = async (url, request) => {
    asked.push([url, request]);
    const body = (async function* () {
      yield new TextEncoder().encode(text);
    })();
    return { status, body, text: async () => text };
  };
  return { asked, client: clientAt(SOCKET, fetch) };
};

const failing = (error: unknown) => clientAt(SOCKET, () => Promise.reject(error));
const errno = (code: string): Error => Object.assign(new Error("text of the runtime"), { code });

test("An address stays inside one path segment.", () => {
  expect(apiPath("daemons", "alice/web", "log")).toBe("/v1/daemons/alice%2Fweb/log");
  expect(apiPath("daemons", "../health")).toBe("/v1/daemons/..%2Fhealth");
});

test.each([".", ".."])("The segment %j, which a URL resolves, is a usage failure.", (segment) => {
  expect(() => apiPath("daemons", segment)).toThrow(expect.objectContaining({ code: "usage" }));
});

test("A request goes to the socket with its method and its JSON, follows no redirect and has no time limit of the runtime.", async () => {
  const { asked, client } = answering(200, '{"ok":true}');
  const answer = await client.ask({ method: "POST", path: "/v1/rescan", body: { a: 1 }, settles: true });
  expect(answer).toEqual({ ok: true });
  expect(asked).toEqual([
    [
      "http://dmhost/v1/rescan",
      expect.objectContaining({
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"a":1}',
        unix: SOCKET,
        keepalive: false,
        redirect: "manual",
        timeout: false,
      }),
    ],
  ]);
});

test("An error answer becomes a failure with its code, message and details.", async () => {
  const { client } = answering(409, '{"code":"ambiguous","message":"which?","details":["a/x","b/x"]}');
  const failure = { code: "ambiguous", message: "which?", details: ["a/x", "b/x"] };
  await expect(client.ask({ path: "/v1/x" })).rejects.toMatchObject(failure);
  await expect(client.stream({ path: "/v1/x" }, new AbortController().signal)).rejects.toMatchObject(failure);
});

test.each([
  [200, "<html>", "no JSON"],
  [500, "<html>", "HTTP status 500"],
  [404, '{"code":"made-up","message":"x"}', "HTTP status 404"],
])("An answer with status %i and the body %j is not understood.", async (status, text, why) => {
  const message = `the answer at ${SOCKET} is not the control API v1: ${why}`;
  await expect(answering(status, text).client.ask({ path: "/v1/x" })).rejects.toMatchObject({
    code: "not-understood",
    message,
  });
});

test.each([
  ["ENOENT", "unreachable", "the socket is gone"],
  ["ECONNREFUSED", "unreachable", "nothing listens there"],
  ["EAGAIN", "unreachable", "too many connections"],
  ["ECONNRESET", "unreachable", "it closed the connection before the end of its answer"],
  ["EACCES", "permission-denied", "permission denied"],
  ["HPE_INVALID_CONSTANT", "not-understood", "no HTTP"],
  ["Malformed_HTTP_Response", "not-understood", "no HTTP"],
  ["EIO", "unreachable", "text of the runtime"],
])("A connection that fails with %s is %s: %s.", async (code, failure, reason) => {
  await expect(failing(errno(code)).ask({ path: "/v1/x" })).rejects.toMatchObject({
    code: failure,
    message: expect.stringContaining(reason),
  });
});

test("A stream gives its bytes as they come, and fails when it breaks off.", async () => {
  const body = (async function* () {
    yield new Uint8Array([1, 2]);
    throw errno("ECONNRESET");
  })();
  const client = clientAt(SOCKET, async (): Promise<UnixResponse> => ({ status: 200, body, text: async () => "" }));
  const stream = await client.stream({ path: "/v1/x" }, new AbortController().signal);
  const chunks: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })();
  await expect(reading).rejects.toMatchObject({ code: "unreachable" });
  expect(chunks).toEqual([new Uint8Array([1, 2])]);
});

test("The caller's signal reaches a stream for as long as it lasts.", async () => {
  const { asked, client } = answering(200, "x");
  const leave = new AbortController();
  await client.stream({ path: "/v1/x" }, leave.signal);
  expect(asked[0]?.[1].signal.aborted).toBe(false);
  leave.abort();
  expect(asked[0]?.[1].signal.aborted).toBe(true);
});

/** A fetch that never answers, and rejects when it is aborted. */
const silent: UnixFetch = (_url, { signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

test("A request that does not wait for a daemon fails after 10 s without an answer.", async () => {
  vi.useFakeTimers();
  const asking = clientAt(SOCKET, silent).ask({ path: "/v1/x" });
  const message = `cannot reach ${SOCKET}: no answer within 10s`;
  const failed = expect(asking).rejects.toMatchObject({ code: "unreachable", message });
  await vi.advanceTimersByTimeAsync(10_000);
  await failed;
});

test("A request that waits for a daemon has no time limit.", async () => {
  vi.useFakeTimers();
  void clientAt(SOCKET, silent).ask({ path: "/v1/x", settles: true });
  await vi.advanceTimersByTimeAsync(1_000_000);
  expect(vi.getTimerCount()).toBe(0);
});
