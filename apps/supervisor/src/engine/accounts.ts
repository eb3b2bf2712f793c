/** What a changed account database changes for a daemon whose accounts kept their uids. */

import type { DaemonKey } from "../core/daemon-key.ts";
import { alive, type State } from "../core/lifecycle.ts";
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

/** Whether its owner or its run-as account has another uid now: the uid that it knows may belong to another person. */
export const hasForeignAccount = (
  {
    key: { owner },
    state,
    terms,
  }: { readonly key: DaemonKey; readonly state: State; readonly terms: Terms | undefined },
  { users }: AccountBase,
): boolean => {
  if (users.get(owner.name)?.uid !== owner.uid) return true;
  const ranAs = alive(state) ? terms?.account : undefined;
  const runsAs = ranAs && users.get(ranAs.name);
  return runsAs !== undefined && runsAs.uid !== ranAs?.uid;
};
