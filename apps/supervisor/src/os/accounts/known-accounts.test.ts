import { expect, test } from "vitest";
import { privileged } from "../kernel/privileges.ts";
import { KnownAccounts } from "./known-accounts.ts";

const anna = { name: "anna", uid: 4001, gid: 4001, home: "/home/anna", shell: "/bin/sh" };
const base = {
  users: new Map([["anna", anna]]),
  groups: new Map([
    ["anna", { gid: 4001, members: [] }],
    ["www", { gid: 4100, members: ["ben"] }],
    ["staff", { gid: 4200, members: ["ben", "anna"] }],
  ]),
};

test("the identity of an account has its ids and the groups that list it", () => {
  expect(new KnownAccounts(base).identity(anna)).toEqual({ uid: 4001, gid: 4001, groups: [4001, 4200] });
});

test("an identity is of the accounts that were read last", () => {
  const accounts = new KnownAccounts(base);
  accounts.base = { users: base.users, groups: new Map([["www", { gid: 4100, members: ["anna"] }]]) };
  expect(accounts.identity(anna).groups).toEqual([4001, 4100]);
});

test("the group of the web server is the named one as root, and the supervisor's own otherwise", () => {
  expect(new KnownAccounts(base).groupId("www")).toBe(privileged ? 4100 : process.getegid?.());
});

test.runIf(privileged)("a missing group of the web server is an error that says how to make it", () => {
  expect(() => new KnownAccounts(base).groupId("nginx")).toThrow(
    'there is no group "nginx" for the web server; create it (groupadd --system nginx) or set nginx-group',
  );
});
