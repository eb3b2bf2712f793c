/** The machine's accounts and groups, from all sources of NSS (files, extrausers, LDAP), by getent(1). */
import { execFileSync } from "node:child_process";
import { groupIds } from "../../core/account-groups.ts";
import type { Account, AccountBase } from "../../core/policy-rules.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

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
    // Status 2: one or more keys not found. The output has the others.
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
 * Reads all accounts and groups, and those in `names`, which a directory that does not enumerate lists only by name. Of
 * several entries with one name the first counts, as for the C library; a number is never used as a name
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
  const unlisted = names.users.filter((name) => !users.has(name) && !/^\d+$/.test(name));
  if (unlisted.length > 0) addUsers(getent("passwd", "--", ...unlisted));
  const unlistedGroups = names.groups.filter((name) => !groups.has(name) && !/^\d+$/.test(name));
  if (unlistedGroups.length > 0) addGroups(getent("group", "--", ...unlistedGroups));
  return { users, groups };
};

/** Name of the account that has this uid now; undefined where none has, or getent fails. */
export const accountName = (uid: number): string | undefined => {
  try {
    return readAccount(getent("passwd", "--", String(uid))[0] ?? "")?.name;
  } catch {
    return undefined;
  }
};

/** The identity of an account for access to files: its ids and all groups that list it. */
export const fileIdentity = (account: Account, base: AccountBase): FileIdentity => ({
  uid: account.uid,
  gid: account.gid,
  groups: groupIds(account, base),
});
