/** Groups of accounts, indexed once for each state of the account databases: machines may have thousands of both. */
import type { Account, AccountBase } from "./policy-rules.ts";

interface Index {
  /** Gids of the groups that list an account, by its name. */
  readonly listed: ReadonlyMap<string, readonly number[]>;
  /** Names of the accounts in a group, listed or by their primary gid. */
  readonly members: ReadonlyMap<number, ReadonlySet<string>>;
}

const indexes = new WeakMap<AccountBase, Index>();

const makeIndex = ({ users, groups }: AccountBase): Index => {
  const listed = new Map<string, number[]>();
  const members = new Map<number, Set<string>>();
  const add = (gid: number, name: string): void => {
    const names = members.get(gid) ?? new Set();
    members.set(gid, names.add(name));
  };
  for (const { name, gid } of users.values()) add(gid, name);
  for (const { gid, members: names } of groups.values()) {
    for (const name of new Set(names)) {
      add(gid, name);
      const gids = listed.get(name) ?? [];
      listed.set(name, gids);
      gids.push(gid);
    }
  }
  return { listed, members };
};

const indexOf = (accounts: AccountBase): Index => {
  const index = indexes.get(accounts) ?? makeIndex(accounts);
  indexes.set(accounts, index);
  return index;
};

/** Gids of all groups of an account, its primary one first. */
export const groupIds = (account: Account, accounts: AccountBase): number[] => [
  account.gid,
  ...(indexOf(accounts).listed.get(account.name) ?? []),
];

/**
 * The group that gives an owner, and no other tenant, read access: their primary group, where no other account is in it.
 * undefined where one is.
 */
export const privateGroup = (owner: Account, accounts: AccountBase): number | undefined => {
  const names = [...(indexOf(accounts).members.get(owner.gid) ?? [])];
  return names.some((name) => name !== owner.name) ? undefined : owner.gid;
};
