/** rlimits in place of cgroups. */
import { ATTENDANTS, withRlimits } from "../core/allowance.ts";
import { budgetAllowance } from "../core/budget.ts";
import { type Definition, isHeld } from "../core/definition.ts";
import type { Means } from "../core/enforcement.ts";
import type { Account } from "../core/policy-rules.ts";
import type { Terms } from "../core/terms.ts";
import type { OwnerContext } from "./owner-context.ts";

/** Processes of the run-as account that are not the daemon's own: its logger and its standby launches. */
const overhead = ({ definition, account }: Terms, owner: Account): number => {
  const ours = definition.output === "log" && account.uid === owner.uid ? 1 : 0;
  const logger = definition.output === "log/run" ? ATTENDANTS : ours;
  return logger + (isHeld(definition.listen) ? definition.instances : 0);
};

/** The definition with the rlimits that replace cgroups on this machine. It applies to every program of the tenant. */
export const rlimited = (
  terms: Terms,
  owner: Account,
  { budget }: Pick<OwnerContext, "budget">,
  { controllers }: Means,
): Definition => withRlimits(terms.definition, budgetAllowance(budget), controllers, overhead(terms, owner));
