/** What a changed account database changes for a daemon whose accounts kept their uids. */

import type { DaemonKey } from "../core/daemon-key.ts";
import type { AccountBase } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";

/** The key with the owner's account as it is now. */
export const renewedKey = <K extends DaemonKey>(key: K, { users }: AccountBase): K => ({
  ...key,
  owner: users.get(key.owner.name) ?? key.owner,
});

/** The terms with the run-as account as it is now, unless it has another uid. */
export const renewedTerms = (terms: Terms | undefined, { users }: AccountBase): Terms | undefined => {
  const account = terms && users.get(terms.account.name);
  return terms && account?.uid === terms.account.uid ? { ...terms, account } : terms;
};
