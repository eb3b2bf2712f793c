/** Limits of a daemon, with the runs that live at present, and what enforces them. */

import { budgetLimits } from "../core/budget.ts";
import type { Definition } from "../core/definition.ts";
import { type EnforcedLimit, enforcement, type Means } from "../core/enforcement.ts";
import { alive } from "../core/lifecycle.ts";
import {
  type CgroupSettings,
  cgroupSettings,
  LOG_RUN_PROCESSES,
  type ProcessCounts,
  resourceLimitsOf,
  widened,
} from "../core/resource-limits.ts";
import { sameDefinition, type Terms } from "../core/terms.ts";
import type { Instance } from "./instance.ts";
import type { OwnerContext } from "./owner-context.ts";

/** What the limits depend on. */
export interface DaemonLimitsHost {
  readonly terms: Terms | undefined;
  /** Desired number of instances. */
  readonly size: number;
  readonly ownerContext: Pick<OwnerContext, "budget">;
  readonly means: Means;
  instances(): readonly Instance[];
}

const countsOf = (host: DaemonLimitsHost, definition: Definition): ProcessCounts => {
  const runs = Math.max(1, host.instances().filter(({ state }) => alive(state)).length);
  return { runs, size: host.size, otherProcesses: definition.output === "log/run" ? LOG_RUN_PROCESSES : 0 };
};

/** The limits at each level of its cgroups. */
export const cgroupSettingsOf = (host: DaemonLimitsHost, { definition }: Terms): CgroupSettings =>
  cgroupSettings(budgetLimits(host.ownerContext.budget), definition, countsOf(host, definition));

/** Bytes of memory that its runs may have together at present; undefined is without limit. */
export const memoryLimitOf = (host: DaemonLimitsHost): number | undefined => {
  const definition = host.terms?.definition;
  return definition && widened(definition, countsOf(host, definition)).memory;
};

/** Its limits and its owner's, and what enforces them. */
export const limitsOf = (host: DaemonLimitsHost): readonly EnforcedLimit[] => {
  const { terms, means } = host;
  if (!terms) return [];
  const launched = host.instances().find((one) => one.launched)?.launched;
  const budget = budgetLimits(host.ownerContext.budget);
  const own = terms.definition;
  return enforcement({ own, budget, launched, contained: own.image !== undefined, user: terms.account }, means);
};

/** Terms with the limits of others. Where that makes the definitions equal, with their fingerprint too. */
export const relimited = (terms: Terms, { definition, fingerprint }: Terms): Terms => {
  const limited = { ...terms.definition, ...resourceLimitsOf(definition) };
  return { ...terms, definition: limited, ...(sameDefinition(limited, definition) && { fingerprint }) };
};
