import type { Account, AccountBase } from "./policy-rules.ts";

/**
 * The group by which an owner, and no other tenant, can be let read something: their primary group, where nobody else is in
 * it. Undefined where somebody is.
 */
export const privateGroup = (owner: Account, accounts: AccountBase): number | undefined => {
  const others = [...accounts.users.values()].some(({ name, gid }) => gid === owner.gid && name !== owner.name);
  const listed = [...accounts.groups.values()]
    .filter(({ gid }) => gid === owner.gid)
    .some(({ members }) => members.some((member) => member !== owner.name));
  return others || listed ? undefined : owner.gid;
};
