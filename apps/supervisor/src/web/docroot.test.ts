import { expect, it } from "vitest";
import { privateGroup } from "../core/account-groups.ts";
import type { Account } from "../core/policy-rules.ts";
import { type SitePath, sitePath } from "../core/site.ts";
import { docrootRefusal } from "./docroot.ts";

const account = (name: string, uid: number, home = `/home/${name}`, gid = uid): Account => ({
  name,
  uid,
  gid,
  home,
  shell: "/bin/sh",
});
const alice = account("alice", 1000);
const www = account("www-data", 33, "/var/www");
const WHOSE: Readonly<Record<string, number>> = {
  "/home/alice": 1000,
  "/srv/alice": 1000,
  "/var/www/html": 33,
  "/etc": 0,
  "/": 0,
  "/home/alice2": 1001,
};
const asks = (path: string): number | string => WHOSE[path] ?? "there is no such directory";
const refusal = (path: string, owner = alice, as = alice) =>
  docrootRefusal(sitePath(path) as SitePath, owner, as, asks);

it.each(["/home/alice", "/home/alice/www", "/home/alice/not/there/yet", "/srv/alice"])(
  "an owner may publish the docroot %s",
  (path) => expect(refusal(path)).toBeUndefined(),
);

it.each([
  ["/etc", "belongs to uid 0: expected a directory of alice, or one in /home/alice"],
  ["/home/alice2", "belongs to uid 1001"],
  ["/var/www/html", "belongs to uid 33"],
  ["/srv/none", "there is no such directory"],
  ["/proc/self", "is on a kernel file system"],
  ["/dev", "is on a kernel file system"],
  ["/", "belongs to uid 0"],
])("an owner may not publish the docroot %s", (path, why) => expect(refusal(path)).toContain(why));

it.each(["/srv/alice", "/srv/none", "/proc/self"])("root may publish %s, whatever account it belongs to", (path) => {
  const root = account("root", 0, "/root");
  expect(refusal(path, root, root)).toBeUndefined();
});

it("a docroot may belong to the run-as account", () => {
  expect(refusal("/var/www/html", alice, www)).toBeUndefined();
  expect(refusal("/etc", alice, www)).toContain("expected a directory of alice or www-data");
});

it("a home that belongs to another account, or is /, permits no docroot", () => {
  expect(refusal("/etc", account("sys", 3, "/"), account("sys", 3, "/"))).toContain("belongs to uid 0");
  const eve = account("eve", 1002, "/home/alice");
  expect(refusal("/home/alice/www", eve, eve)).toContain("there is no such directory");
});

it("root may publish any docroot", () => expect(refusal("/etc", account("root", 0, "/root"))).toBeUndefined());

it("logs are readable by a group in which the owner is alone", () => {
  const users = (...accounts: Account[]) => new Map(accounts.map((each) => [each.name, each]));
  expect(privateGroup(alice, { users: users(alice, www), groups: new Map() })).toBe(1000);
  const shared = account("bob", 1001, "/home/bob", 1000);
  expect(privateGroup(alice, { users: users(alice, shared), groups: new Map() })).toBeUndefined();
  const listed = (...members: string[]) => new Map([["alice", { gid: 1000, members }]]);
  expect(privateGroup(alice, { users: users(alice), groups: listed("alice") })).toBe(1000);
  expect(privateGroup(alice, { users: users(alice), groups: listed("bob") })).toBeUndefined();
});
