import { expect, test } from "vitest";
import { DEFAULTS } from "../core/definition.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";
import { renewedKey, renewedTerms } from "./accounts.ts";
import { accountOf } from "./scene.fake.ts";

const base = (...users: ReturnType<typeof accountOf>[]): AccountBase => ({
  users: new Map(users.map((user) => [user.name, user])),
  groups: new Map(),
});
const www = accountOf("www", 1100);
const terms: Terms = {
  definition: { ...DEFAULTS, start: "exec program" },
  fingerprint: "x",
  account: www,
  logDirectory: "/home/alice/log",
  nginxGroup: "nginx",
};

test("terms get the account as it is now, unless the account has another uid or no longer exists", () => {
  const moved = { ...www, home: "/srv/www" };
  expect(renewedTerms(terms, base(moved))?.account).toBe(moved);
  expect(renewedTerms(terms, base(accountOf("www", 1101)))).toBe(terms);
  expect(renewedTerms(terms, base())).toBe(terms);
  expect(renewedTerms(undefined, base(www))).toBeUndefined();
});

test("a key gets the owner's account as it is now, and keeps the former one where there is none", () => {
  const alice = accountOf("alice", 1001);
  const moved = { ...alice, home: "/srv/alice" };
  expect(renewedKey({ owner: alice, name: "web" }, base(moved))).toEqual({ owner: moved, name: "web" });
  expect(renewedKey({ owner: alice, name: "web" }, base()).owner).toBe(alice);
});
