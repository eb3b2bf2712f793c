import type {
  DaemonListQuery,
  DaemonStatus,
  Health,
  LogQuery,
  Outcome,
  PolicyQuery,
  ScaleRequest,
} from "@dmhost/contract";
import { ENDPOINTS, type Endpoint, type JsonName, type StreamName } from "@dmhost/contract/schemas";
import { afterEach, expect, expectTypeOf, test, vi } from "vitest";
import { clientAt, type Input } from "./client.ts";
import type { UnixFetch, UnixRequest, UnixResponse } from "./unix-fetch.ts";

const SOCKET = "/run/dmhost/command.sock";

afterEach(() => {
  vi.useRealTimers();
});

/** A fetch that answers each request with `status` and `text`, and keeps the requests. */
const answering = (status: number, text: string) => {
  const requests: [string, UnixRequest][] = [];
  const fetch: UnixFetch = async (url, request) => {
    requests.push([url, request]);
    const body = (async function* () {
      yield new TextEncoder().encode(text);
    })();
    return { status, body, text: async () => text };
  };
  return { requests, client: clientAt(SOCKET, fetch) };
};

const failing = (error: unknown) => clientAt(SOCKET, () => Promise.reject(error));
const errno = (code: string): Error => Object.assign(new Error("text of the runtime"), { code });

const ALICE = { params: { address: "alice/web" } };

test.each([
  ["alice/web", "alice%2Fweb"],
  ["../health", "..%2Fhealth"],
  ["a?b#c d", "a%3Fb%23c%20d"],
])("the address %j stays inside one path segment", async (address, segment) => {
  const { requests, client } = answering(200, "{}");
  await client.call("explain", { params: { address } });
  expect(requests.map(([url]) => url)).toEqual([`http://dmhost/v1/daemons/${segment}/explanation`]);
});

test.each(["", ".", ".."])(
  "the address %j, which is no path segment, is a usage failure and is not sent",
  async (address) => {
    const { requests, client } = answering(200, "{}");
    await expect(client.call("getDaemon", { params: { address } })).rejects.toMatchObject({ code: "usage" });
    expect(requests).toEqual([]);
  },
);

test("a request goes to the socket with the endpoint's method and its JSON, follows no redirect and has no time limit of the runtime", async () => {
  const { requests, client } = answering(200, '{"ok":true}');
  const answer = await client.call("scale", { ...ALICE, body: { instances: 2 } });
  expect(answer).toEqual({ ok: true });
  expect(requests).toEqual([
    [
      "http://dmhost/v1/daemons/alice%2Fweb/scale",
      expect.objectContaining({
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"instances":2}',
        unix: SOCKET,
        keepalive: false,
        redirect: "manual",
        timeout: false,
      }),
    ],
  ]);
});

test("the values of a query are encoded, and an empty query leaves no question mark", async () => {
  const { requests, client } = answering(200, "{}");
  await client.call("askPolicy", { query: { caller: "a&b", verb: "run-as", address: "amy/blog" } });
  await client.call("listDaemons", { query: {} });
  await client.stream("readLog", { ...ALICE, query: { lines: 3, follow: "1" } }, new AbortController().signal);
  expect(requests.map(([url]) => url.replace("http://dmhost", ""))).toEqual([
    "/v1/policy?caller=a%26b&verb=run-as&address=amy%2Fblog",
    "/v1/daemons",
    "/v1/daemons/alice%2Fweb/log?lines=3&follow=1",
  ]);
});

// What the three tests below expect is checked by the compiler.
type Arguments<N extends JsonName> = Parameters<typeof call<N>>;
const { call } = answering(200, "{}").client;

test("an answer has the type of its endpoint", () => {
  expectTypeOf<ReturnType<typeof call<"getDaemon">>>().resolves.toEqualTypeOf<DaemonStatus>();
  expectTypeOf<ReturnType<typeof call<"start" | "stop">>>().resolves.toEqualTypeOf<Outcome>();
  expectTypeOf<ReturnType<typeof call<"getHealth">>>().resolves.toEqualTypeOf<Health>();
});

test("a call takes the parameters, the query and the body of its endpoint and nothing else", () => {
  type One = { readonly address: string };
  expectTypeOf<Input<"getDaemon">["params"]>().toEqualTypeOf<One>();
  expectTypeOf<Input<"getDaemon">["query" | "body"]>().toEqualTypeOf<undefined>();
  expectTypeOf<Input<"getHealth">["params" | "query" | "body"]>().toEqualTypeOf<undefined>();
  expectTypeOf<Input<"listDaemons">["query"]>().toEqualTypeOf<DaemonListQuery | undefined>();
  expectTypeOf<Input<"askPolicy">["query"]>().toEqualTypeOf<PolicyQuery>();
  expectTypeOf<Input<"scale">["body"]>().toEqualTypeOf<ScaleRequest>();
  expectTypeOf<Input<"readLog">["query"]>().toEqualTypeOf<LogQuery | undefined>();
});

test("a call that the contract does not have does not compile", () => {
  expectTypeOf<"getDemon">().not.toExtend<JsonName | StreamName>();
  expectTypeOf<"readLog">().not.toExtend<Parameters<typeof call>[0]>();
  expectTypeOf<"getHealth">().not.toExtend<StreamName>();
  expectTypeOf<["getHealth"]>().toExtend<Arguments<"getHealth">>();
  expectTypeOf<["getHealth", typeof ALICE]>().not.toExtend<Arguments<"getHealth">>();
  expectTypeOf<["getDaemon", typeof ALICE]>().toExtend<Arguments<"getDaemon">>();
  expectTypeOf<["getDaemon"]>().not.toExtend<Arguments<"getDaemon">>();
  expectTypeOf<["getDaemon", { params: { id: string } }]>().not.toExtend<Arguments<"getDaemon">>();
  expectTypeOf<["listDaemons", { query: { use: "1" } }]>().not.toExtend<Arguments<"listDaemons">>();
  expectTypeOf<["listDaemons", { query: { usage: "yes" } }]>().not.toExtend<Arguments<"listDaemons">>();
  expectTypeOf<["askPolicy"]>().not.toExtend<Arguments<"askPolicy">>();
  expectTypeOf<["scale", typeof ALICE]>().not.toExtend<Arguments<"scale">>();
  expectTypeOf<["scale", typeof ALICE & { body: { instances: string } }]>().not.toExtend<Arguments<"scale">>();
  expectTypeOf<["stop", typeof ALICE & { body: ScaleRequest }]>().not.toExtend<Arguments<"stop">>();
  expectTypeOf<["start", typeof ALICE]>().not.toExtend<Arguments<"start" | "scale">>();
});

test("an error answer becomes a failure with its code, message and details", async () => {
  const { client } = answering(409, '{"code":"ambiguous","message":"which?","details":["a/x","b/x"]}');
  const failure = { code: "ambiguous", message: "which?", details: ["a/x", "b/x"] };
  await expect(client.call("getHealth")).rejects.toMatchObject(failure);
  await expect(client.stream("readLog", ALICE, new AbortController().signal)).rejects.toMatchObject(failure);
});

test.each([
  [200, "<html>", "no JSON"],
  [500, "<html>", "HTTP status 500"],
  [200, "", "no JSON"],
  [404, '{"code":"made-up","message":"x"}', "HTTP status 404"],
])("an answer with status %i and the body %j is not understood", async (status, text, why) => {
  const message = `the answer at ${SOCKET} is not the control API v1: ${why}`;
  await expect(answering(status, text).client.call("getHealth")).rejects.toMatchObject({
    code: "not-understood",
    message,
  });
});

test.each([
  ["ENOENT", "unreachable", "the socket is gone"],
  ["ECONNREFUSED", "unreachable", "nothing listens there"],
  ["EAGAIN", "unreachable", "too many connections"],
  ["EPIPE", "unreachable", "it closed the connection before the request was sent"],
  ["ECONNRESET", "unreachable", "it closed the connection before the end of its answer"],
  ["EACCES", "permission-denied", "permission denied"],
  ["HPE_INVALID_CONSTANT", "not-understood", "no HTTP"],
  ["Malformed_HTTP_Response", "not-understood", "no HTTP"],
  ["EIO", "unreachable", "text of the runtime"],
])("a connection that fails with %s is %s: %s", async (code, failure, reason) => {
  await expect(failing(errno(code)).call("getHealth")).rejects.toMatchObject({
    code: failure,
    message: expect.stringContaining(reason),
  });
});

test("a stream gives its bytes as they come, and fails when it breaks off", async () => {
  const body = (async function* () {
    yield new Uint8Array([1, 2]);
    throw errno("ECONNRESET");
  })();
  const client = clientAt(SOCKET, async (): Promise<UnixResponse> => ({ status: 200, body, text: async () => "" }));
  const stream = await client.stream("readLog", ALICE, new AbortController().signal);
  const chunks: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of stream) chunks.push(chunk);
  })();
  await expect(reading).rejects.toMatchObject({ code: "unreachable" });
  expect(chunks).toEqual([new Uint8Array([1, 2])]);
});

test("the caller's signal reaches a stream for as long as it lasts", async () => {
  const { requests, client } = answering(200, "x");
  const leave = new AbortController();
  await client.stream("readLog", ALICE, leave.signal);
  expect(requests[0]?.[1].signal.aborted).toBe(false);
  leave.abort();
  expect(requests[0]?.[1].signal.aborted).toBe(true);
});

/** A fetch that never answers, and rejects when it is aborted. */
const silent: UnixFetch = (_url, { signal }) =>
  new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

test("a request that does not wait for a daemon fails after 10 s without an answer", async () => {
  vi.useFakeTimers();
  const asking = clientAt(SOCKET, silent).call("getHealth");
  const message = `cannot reach ${SOCKET}: no answer within 10s`;
  const failed = expect(asking).rejects.toMatchObject({ code: "unreachable", message });
  await vi.advanceTimersByTimeAsync(10_000);
  await failed;
});

const waiting = Object.entries<Endpoint>(ENDPOINTS).filter(([, { settles }]) => settles);

test("exactly the endpoints that change daemons and their files wait for daemons", () => {
  const changing = Object.entries<Endpoint>(ENDPOINTS).filter(
    ([name, { method }]) => method !== "GET" && name !== "kill" && name !== "acceptImage",
  );
  expect(waiting).toEqual(changing);
});

test.each(waiting)("a call of %s, which waits for daemons, has no time limit", async (name) => {
  vi.useFakeTimers();
  // Any input does: the fetch does not look at it.
  void clientAt(SOCKET, silent).call(name as JsonName, ALICE as never);
  await vi.advanceTimersByTimeAsync(1_000_000);
  expect(vi.getTimerCount()).toBe(0);
});
