import type { Account, AccountBase } from "./policy-rules.ts";

/**
 * The group that gives an owner, and no other tenant, read access: their primary group, where no other account is in it.
 * undefined where one is.
 */
export const privateGroup = (owner: Account, accounts: AccountBase): number | undefined => {
  const others = [...accounts.users.values()].some(({ name, gid }) => gid === owner.gid && name !== owner.name);
  const listed = [...accounts.groups.values()]
    .filter(({ gid }) => gid === owner.gid)
    .some(({ members }) => members.some((member) => member !== owner.name));
  return others || listed ? undefined : owner.gid;
};
