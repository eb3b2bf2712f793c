/** The machine's accounts and groups, as NSS tells them (files, extrausers, LDAP). */
import { execFileSync } from "node:child_process";
import type { Account, AccountBase } from "../../core/policy-rules.ts";
import type { FileIdentity } from "../kernel/libc.ts";

const getent = (...args: string[]): string[] => {
  try {
    return execFileSync("/usr/bin/getent", args, {
      encoding: "utf8",
      maxBuffer: 64 << 20,
      env: {},
      stdio: ["ignore", "pipe", "ignore"],
    })
      .split("\n")
      .filter((line) => line !== "");
  } catch (error) {
    // 2 is getent's "one or more keys not found"; what it did find is on its output.
    const status = (error as { status?: number }).status;
    if (status === 2)
      return String((error as { stdout?: unknown }).stdout ?? "")
        .split("\n")
        .filter((line) => line !== "");
    throw error;
  }
};

const number = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;

const readAccount = (line: string): Account | undefined => {
  const [name, , uidText, gidText, , home, shell] = line.split(":");
  const uid = number(uidText);
  const gid = number(gidText);
  if (!name || uid === undefined || gid === undefined || !home?.startsWith("/")) return undefined;
  return { name, uid, gid, home: home === "/" ? home : home.replace(/\/+$/, ""), shell: shell || "/bin/sh" };
};

/**
 * Reads every account and group, and `names` besides, for directories that do not enumerate. The first entry of a name
 * counts, as for the C library; an entry answered for a number is never taken for a name
 * (docs/explanation/security.md#5).
 * @throws when getent cannot be run
 */
export const readAccounts = (names: { users: readonly string[]; groups: readonly string[] }): AccountBase => {
  const users = new Map<string, Account>();
  const groups = new Map<string, { gid: number; members: string[] }>();
  const addUsers = (lines: string[]) => {
    for (const account of lines.map(readAccount)) {
      if (account && !users.has(account.name)) users.set(account.name, account);
    }
  };
  const addGroups = (lines: string[]) => {
    for (const line of lines) {
      const [name, , gidText, members] = line.split(":");
      const gid = number(gidText);
      if (!name || gid === undefined || groups.has(name)) continue;
      groups.set(name, { gid, members: members ? members.split(",").filter((member) => member !== "") : [] });
    }
  };
  addUsers(getent("passwd"));
  addGroups(getent("group"));
  const strangers = names.users.filter((name) => !users.has(name) && !/^\d+$/.test(name));
  if (strangers.length > 0) addUsers(getent("passwd", "--", ...strangers));
  const strangeGroups = names.groups.filter((name) => !groups.has(name) && !/^\d+$/.test(name));
  if (strangeGroups.length > 0) addGroups(getent("group", "--", ...strangeGroups));
  return { users, groups };
};

/** Name of the account that has this uid at this moment; undefined where none has, or it cannot be told soon. */
export const accountName = (uid: number): string | undefined => {
  try {
    return readAccount(getent("passwd", "--", String(uid))[0] ?? "")?.name;
  } catch {
    return undefined;
  }
};

/** How the kernel sees an account that touches files: its ids and every group that lists it. */
export const fileIdentity = (account: Account, base: AccountBase): FileIdentity => ({
  uid: account.uid,
  gid: account.gid,
  groups: [
    account.gid,
    ...[...base.groups.values()].filter(({ members }) => members.includes(account.name)).map(({ gid }) => gid),
  ],
});
