/** Limits of a daemon, with the runs that live at present, and what enforces them. */
import { type Allotment, ATTENDANTS, allot, allowanceOf, type Crowd, widened } from "../core/allowance.ts";
import { budgetAllowance } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { enforcement, type Held as Limit, type Means } from "../core/enforcement.ts";
import { alive } from "../core/lifecycle.ts";
import { hasStandby, sameDefinition, type Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { OwnerContext } from "./owner-context.ts";

/** What the limits depend on. */
export interface AllotmentHost {
  readonly terms: Terms | undefined;
  /** Desired number of instances. */
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

/** The limits at each level of its cgroups. */
export const allotmentOf = (host: AllotmentHost, { definition }: Terms): Allotment =>
  allot(budgetAllowance(host.ownerContext.budget), definition, crowd(host, definition));

/** Bytes of memory that its runs may have together at present; undefined is without limit. */
export const memoryLimitOf = (host: AllotmentHost): number | undefined => {
  const definition = host.terms?.definition;
  return definition && widened(definition, crowd(host, definition)).memory;
};

/** Its limits and its owner's, and what enforces them. */
export const limitsOf = (host: AllotmentHost): readonly Limit[] => {
  const { terms, means } = host;
  if (!terms) return [];
  const launched = host.instances().find((one) => one.launched)?.launched;
  const budget = budgetAllowance(host.ownerContext.budget);
  return enforcement({ own: terms.definition, budget, launched, user: terms.account }, means);
};

/** Terms with the limits of others. Where that makes the definitions equal, with their fingerprint too. */
export const relimited = (terms: Terms, { definition, fingerprint }: Terms): Terms => {
  const limited = { ...terms.definition, ...allowanceOf(definition) };
  return { ...terms, definition: limited, ...(sameDefinition(limited, definition) && { fingerprint }) };
};
