/** Conf files over the control API: read, checked, and written unless they were changed meanwhile. */
import { createHash } from "node:crypto";
import { afterEach, expect, test } from "vitest";
import { errno, FakeEngine, fakeDaemon, fakeSurroundings, serve } from "../engine.fake.ts";
import type { Surroundings } from "../server.ts";

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

const FILE = "/v1/daemons/blog/file";
const fingerprint = (text: string): string => createHash("sha256").update(text).digest("base64");
const found = (text: string | undefined, problem?: string) => ({
  readConf: () => ({ path: "/blog.conf", text, problem }),
});

test("a conf file is read with its fingerprint, and a new one begins as the template", async () => {
  const { ask } = await api(undefined, found("start = x"));
  const present = { path: "/blog.conf", text: "start = x", fingerprint: fingerprint("start = x") };
  expect((await ask("amy", `GET ${FILE}`)).body).toEqual(present);
  const { ask: askOfNew } = await api(undefined, found(undefined));
  const template = { path: "/blog.conf", text: "# amy/new\n", fingerprint: "" };
  expect((await askOfNew("amy", "GET /v1/daemons/new/file")).body).toEqual(template);
  expect((await askOfNew("root", "GET /v1/daemons/amy%2Fnew/file")).body).toEqual(template);
});

test("root has a file of no account that runs no daemons", async () => {
  const { ask } = await api();
  expect((await ask("root", "GET /v1/daemons/eve%2Fnew/file")).body.code).toBe("not-found");
});

test("a conf file of a daemon whose owner the policy no longer names is not read", async () => {
  const { ask } = await api(fakeDaemon("eve/blog"));
  const { status, body } = await ask("root", "GET /v1/daemons/eve%2Fblog/file");
  expect([status, body.code]).toEqual([409, "not-applicable"]);
  expect(body.message).toContain("eve is not in [runs_as]");
});

test("a conf file that cannot be used is refused with the reason", async () => {
  const { ask } = await api(undefined, found(undefined, "it is a symbolic link"));
  expect((await ask("amy", `GET ${FILE}`)).body.message).toBe("/blog.conf: it is a symbolic link");
});

test.each<[string, string | undefined, boolean, "make" | "replace"]>([
  ["replaced", "start = x", false, "replace"],
  ["created", undefined, true, "make"],
])("a conf file is %s as its owner, and the owner's files are read again", async (_what, text, created, how) => {
  const written: unknown[] = [];
  const { ask, engine } = await api(undefined, {
    ...found(text),
    checkConf: () => ({ errors: [], warnings: ["/blog.conf:1: odd"] }),
    writeConf: ({ owner, name }, draft, what) => void written.push([owner.name, name, draft, what]),
  });
  const draft = { text: "start = y", fingerprint: text === undefined ? "" : fingerprint(text) };
  const { body } = await ask("amy", `PUT ${FILE}`, draft);
  expect(body).toEqual({ path: "/blog.conf", warnings: ["/blog.conf:1: odd"], created });
  expect([written, engine.rescans]).toEqual([[["amy", "blog", "start = y", how]], [["amy"]]]);
});

test("a conf file that was changed since it was read is not overwritten", async () => {
  const { ask, engine } = await api(undefined, found("start = z"));
  const { status, body } = await ask("amy", `PUT ${FILE}`, {
    text: "start = y",
    fingerprint: fingerprint("start = x"),
  });
  expect([status, body.code, engine.rescans]).toEqual([409, "conflict", []]);
});

test("a text with errors is not written, and each error is answered", async () => {
  const checkConf = () => ({ errors: ["/blog.conf:1: wrong"], warnings: [] });
  const { ask, engine } = await api(undefined, { ...found(undefined), checkConf });
  const { status, body } = await ask("amy", `PUT ${FILE}`, { text: "x", fingerprint: "" });
  expect([status, body.code, body.details, engine.rescans]).toEqual([422, "invalid-file", ["/blog.conf:1: wrong"], []]);
});

test.each<[string, Error, number, string, string]>([
  ["appears meanwhile", errno("EEXIST", "EEXIST"), 409, "conflict", "changed meanwhile"],
  [
    "has no room",
    errno("ENOSPC", "ENOSPC: no space left on device, write '/tmp/x'"),
    409,
    "not-applicable",
    "/blog.conf cannot be written by amy: ENOSPC: no space left on device",
  ],
  ["meets a fault of the supervisor", new Error("fault"), 500, "internal", "its log has the reason"],
])("a conf file that %s is not written, and the answer says so", async (_what, error, status, code, message) => {
  const writeConf = () => {
    throw error;
  };
  const { ask } = await api(undefined, { ...found(undefined), writeConf });
  const answer = await ask("amy", `PUT ${FILE}`, { text: "x", fingerprint: "" });
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(answer.body.message).toContain(message);
  expect(answer.body.message).not.toContain("/tmp/x");
});
