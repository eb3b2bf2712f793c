/** Who may do what over the control API: unknown and forbidden daemons answer alike, and nobody learns of others'. */
import { ENDPOINTS, type Endpoint } from "@dmhost/contract/schemas";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ask, FakeEngine, fakeDaemon, fakeSurroundings, serve } from "./engine.fake.ts";

let ask: Ask;
let close: () => Promise<void>;
beforeAll(async () => {
  const engine = new FakeEngine(fakeDaemon("amy/blog"), fakeDaemon("amy/shop"), fakeDaemon("bob/blog"));
  ({ ask, close } = await serve(engine, fakeSurroundings()));
});
afterAll(() => close());

const idsFor = async (caller: string) =>
  (await ask(caller, "GET /v1/daemons")).body.daemons.map(({ id }: { id: string }) => id);

test("an owner lists their daemons, a manager those of the owners they manage, and root all", async () => {
  expect(await idsFor("bob")).toEqual(["bob/blog"]);
  expect(await idsFor("david")).toEqual(["amy/blog", "amy/shop"]);
  expect(await idsFor("root")).toEqual(["amy/blog", "amy/shop", "bob/blog"]);
});

/** A body and a query that each endpoint accepts. */
const lineOf = ({ method, path }: Endpoint, id: string): string => {
  const query = path === "/policy" ? "?caller=amy&verb=start&address=amy%2Fblog" : "";
  return `${method} /v1${path.replace(":address", encodeURIComponent(id))}${query}`;
};
const BODIES: Readonly<Record<string, unknown>> = {
  scale: { instances: 1 },
  kill: { signal: "TERM" },
  acceptImage: { image: "php" },
  writeFile: { text: "", fingerprint: "" },
};
const withAccess = (...levels: Endpoint["access"][]) =>
  Object.entries<Endpoint>(ENDPOINTS).filter(([, { access }]) => levels.includes(access));

test.each(withAccess("policy", "control", "author", "root"))(
  "the endpoint %s refuses an account that the policy does not name",
  async (name, endpoint) => {
    const { status, body } = await ask("eve", lineOf(endpoint, "amy/blog"), BODIES[name]);
    expect([status, body.code]).toEqual([403, "not-in-policy"]);
    expect(body.message).toContain("ask root to add you to [runs_as]");
  },
);

test.each(withAccess("anyone"))(
  "the endpoint %s answers an account that the policy does not name",
  async (_name, endpoint) => {
    expect((await ask("eve", lineOf(endpoint, ""))).status).toBe(200);
  },
);

test.each(withAccess("root"))("the endpoint %s refuses everyone but root", async (name, endpoint) => {
  const { status, body } = await ask("amy", lineOf(endpoint, ""), BODIES[name]);
  expect([status, body.code]).toEqual([403, "not-in-policy"]);
  expect((await ask("root", lineOf(endpoint, ""), BODIES[name])).status).toBe(200);
});

test.each(withAccess("control", "author"))(
  "the endpoint %s gives the same answer for a daemon of another owner and for one that does not exist",
  async (name, endpoint) => {
    const forbidden = await ask("bob", lineOf(endpoint, "amy/shop"), BODIES[name]);
    const unknown = await ask("bob", lineOf(endpoint, "amy/none"), BODIES[name]);
    expect([forbidden.status, forbidden.body.code]).toEqual([404, "not-found"]);
    expect(unknown.text.replaceAll("amy/none", "amy/shop")).toBe(forbidden.text);
  },
);

test.each(withAccess("author"))(
  "the endpoint %s refuses a manager, who may not decide what runs as the owner",
  async (name, endpoint) => {
    const { status, body } = await ask("david", lineOf(endpoint, "amy/blog"), BODIES[name]);
    expect([status, body.code]).toEqual([403, "not-in-policy"]);
    expect(body.message).toContain("only amy and root may read or change its file");
  },
);

test.each([
  ["david", "blog", "amy/blog"],
  ["bob", "blog", "bob/blog"],
  ["root", "shop", "amy/shop"],
  ["root", "bob/blog", "bob/blog"],
])("for the caller %s the address %s means %s", async (caller, address, id) => {
  const { body } = await ask(caller, `GET /v1/daemons/${encodeURIComponent(address)}`);
  expect(body.id).toBe(id);
});

test("a short name that several daemons have is refused with the ids to choose from", async () => {
  const { status, body } = await ask("root", "GET /v1/daemons/blog");
  expect([status, body.code, body.details]).toEqual([409, "ambiguous", ["amy/blog", "bob/blog"]]);
});

test.each([
  ["amy", "shpo", '"shop"'],
  ["root", "amy/shpo", '"amy/shop"'],
])(
  "a misspelt address of %s, %s, gets a suggestion out of the daemons that they may control",
  async (caller, address, near) => {
    const { body } = await ask(caller, `GET /v1/daemons/${encodeURIComponent(address)}`);
    expect(body.message).toContain(`did you mean ${near}?`);
  },
);

test("a misspelt address gets no suggestion out of the daemons of others", async () => {
  expect((await ask("bob", "GET /v1/daemons/shpo")).body.message).not.toContain("did you mean");
});

test.each(["../etc", "a/b/c", "", "-x", "a%00b".replace("%00", "\0")])(
  "the API refuses %j as an address",
  async (address) => {
    const { status, body } = await ask("amy", `GET /v1/daemons/${encodeURIComponent(address)}`);
    expect([status, body.code]).toEqual([400, "usage"]);
  },
);
