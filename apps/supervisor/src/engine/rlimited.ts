/** rlimits in place of cgroups. */

import { budgetLimits } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import type { Means } from "../core/enforcement.ts";
import type { Account } from "../core/policy-rules.ts";
import { LOG_RUN_PROCESSES, withRlimits } from "../core/resource-limits.ts";
import type { Terms } from "../core/terms.ts";
import type { OwnerContext } from "./owner-context.ts";

/** Processes of the run-as account that are not the daemon's own: its logger. */
const overhead = ({ definition, account }: Terms, owner: Account): number => {
  const ours = definition.output === "log" && account.uid === owner.uid ? 1 : 0;
  return definition.output === "log/run" ? LOG_RUN_PROCESSES : ours;
};

/** The definition with the rlimits that replace cgroups on this machine. It applies to every program of the tenant. */
export const rlimited = (
  terms: Terms,
  owner: Account,
  { budget }: Pick<OwnerContext, "budget">,
  { controllers }: Means,
): Definition =>
  // The engine limits the container.
  terms.definition.image === undefined
    ? withRlimits(terms.definition, budgetLimits(budget), controllers, overhead(terms, owner))
    : terms.definition;
