/** What a daemon may use of the machine, with the runs that live at present, and who enforces it. */
import { type Allotment, ATTENDANTS, allot, type Crowd, widened } from "../core/allowance.ts";
import { budgetAllowance } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { enforcement, type Held as Limit, type Means } from "../core/enforcement.ts";
import { alive } from "../core/lifecycle.ts";
import { hasStandby, type Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { OwnerContext } from "./owner-context.ts";

/** What it needs of the daemon. */
export interface AllotmentHost {
  readonly terms: Terms | undefined;
  /** How many instances it is to have. */
  readonly size: number;
  readonly ownerContext: Pick<OwnerContext, "budget">;
  readonly means: Means;
  instances(): readonly Instance[];
}

const crowd = (host: AllotmentHost, definition: Definition): Crowd => {
  const runs = Math.max(1, host.instances().filter(({ state }) => alive(state)).length);
  const spares = hasStandby(definition) ? runs : 0;
  const attendants = definition.output === "log/run" ? ATTENDANTS : 0;
  return { runs, size: host.size, spares: spares + attendants };
};

/** Limits at each level of its cgroups. */
export const allotmentOf = (host: AllotmentHost, { definition }: Terms): Allotment =>
  allot(budgetAllowance(host.ownerContext.budget), definition, crowd(host, definition));

/** Bytes of memory that its runs may have together at present; undefined is without limit. */
export const memoryLimitOf = (host: AllotmentHost): number | undefined => {
  const definition = host.terms?.definition;
  return definition && widened(definition, crowd(host, definition)).memory;
};

/** Who enforces its limits, and its owner's. */
export const limitsOf = (host: AllotmentHost): readonly Limit[] => {
  const { terms, means } = host;
  if (!terms) return [];
  const launched = host.instances().find((one) => one.launched)?.launched;
  const budget = budgetAllowance(host.ownerContext.budget);
  return enforcement({ own: terms.definition, budget, launched, user: terms.account }, means);
};
