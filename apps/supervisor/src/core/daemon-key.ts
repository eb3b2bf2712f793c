/** How daemons and their instances are named. */
import type { Account } from "./policy-rules.ts";

/** Which daemon is meant, and whose it is. */
export interface DaemonKey {
  readonly owner: Account;
  readonly name: string;
}

/** The name of a daemon among those of all owners: `owner/name`. */
export const idOf = ({ owner, name }: { readonly owner: Pick<Account, "name">; readonly name: string }): string =>
  `${owner.name}/${name}`;

/** The owner in an id, or in any name that begins with one. */
export const ownerOf = (id: string): string => id.split("/", 1)[0] ?? "";

/** One of the processes that a daemon may have at a time; the first is 1. */
export interface InstanceKey extends DaemonKey {
  readonly instance: number;
}
