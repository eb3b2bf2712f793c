/** Questions about the policy, and what their answers do not reveal. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ask, FakeEngine, fakeSurroundings, serve } from "./engine.fake.ts";

let ask: Ask;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ ask, close } = await serve(new FakeEngine(), fakeSurroundings()));
});
afterAll(() => close());

const question = (caller: string, verb: string, address: string): string =>
  `GET /v1/policy?${new URLSearchParams({ caller, verb, address })}`;

test.each([
  ["amy", "amy", "start", "amy/blog", true],
  ["amy", "amy", "run-as", "www-data", true],
  ["amy", "amy", "run-as", "bob", false],
  ["david", "amy", "edit", "amy/blog", true],
  ["david", "david", "edit", "amy/blog", false],
  ["root", "david", "restart", "amy/blog", true],
  ["root", "bob", "host", "blog.example.org", false],
  ["bob", "bob", "image", "php:8.4-fpm", false],
])("when %s queries whether %s may %s %s, the policy answers %s", async (asker, caller, verb, address, allowed) => {
  const { body } = await ask(asker, question(caller, verb, address));
  expect(body).toMatchObject({ caller, verb, address, allowed, reason: expect.any(String) });
});

test("a caller may not ask about an account whose daemons they do not manage", async () => {
  const { status, body } = await ask("bob", question("amy", "start", "amy/blog"));
  expect([status, body.code]).toEqual([404, "not-found"]);
});

test("a refusal of the policy does not reveal whether an owner exists", async () => {
  const reason = async (owner: string) =>
    (await ask("bob", question("bob", "start", `${owner}/x`))).body.reason.replaceAll(owner, "?");
  expect(await reason("amy")).toBe(await reason("nobody"));
});

test.each([
  ["start", "blog"],
  ["start", "amy/blog/x"],
  ["host", "not a host"],
  ["image", "no image"],
])("a question about %s needs a whole address, and %j is none", async (verb, address) => {
  const { status, body } = await ask("amy", question("amy", verb, address));
  expect([status, body.code]).toEqual([400, "usage"]);
});
