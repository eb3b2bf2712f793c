/** Budgets of owners: [limits] of the policy file. */
import { LIMIT_QUANTITIES, type ResourceLimits, UNLIMITED } from "./resource-limits.ts";
import { count, KIB, type Quantity, size } from "./units.ts";

/** Keys of [limits]: limits of the machine, number of daemons, bytes of logs, restarts a minute. */
export const BUDGET_KEYS = ["memory", "processes", "cpu", "daemons", "log", "restarts"] as const;
export type BudgetKey = (typeof BUDGET_KEYS)[number];

/** Smallest log file (docs/reference/logs.md#stamps). */
const SMALLEST_FILE = 4 * KIB;

/** How an amount of [limits] is written. */
export const BUDGET_QUANTITIES: { readonly [K in BudgetKey]: Quantity } = {
  memory: LIMIT_QUANTITIES.memory,
  processes: LIMIT_QUANTITIES.processes,
  cpu: LIMIT_QUANTITIES.cpu,
  daemons: count({ most: 256 }),
  log: size({ least: SMALLEST_FILE }),
  restarts: count({ least: 1, most: 100_000 }),
};

/** An amount as a line of [limits] writes it: `1 GiB`. */
export const writeShare = (key: BudgetKey, amount: number): string => BUDGET_QUANTITIES[key].write(amount);

/** An amount and its line of the policy file. */
export interface Share {
  readonly amount: number;
  readonly line: number;
}

/** The budget of one owner; a missing key is without limit. */
export type Budget = { readonly [K in BudgetKey]?: Share };

/** The part of a budget that the owner's cgroup enforces. */
export const budgetLimits = ({ memory, processes, cpu }: Budget): ResourceLimits => ({
  ...UNLIMITED,
  memory: memory?.amount,
  processes: processes?.amount,
  cpu: cpu?.amount,
});

/** In ms. */
const MINUTE = 60_000;

/**
 * When the next restart may come, if `most` of them fit into any minute.
 * @param times of earlier restarts, in ascending order, in ms
 */
export const nextRoom = (times: readonly number[], most: number, now: number): number => {
  const recent = times.filter((time) => time > now - MINUTE);
  if (recent.length < most) return now;
  // A budget of no restarts is checked again later, because the policy can change.
  return (recent[recent.length - most] ?? now) + MINUTE;
};

/** The times that still count. */
export const recentOf = (times: readonly number[], now: number): readonly number[] =>
  times.filter((time) => time > now - MINUTE);

/**
 * Size that each log of an owner may have, current and rotated files together, so that all are within the budget. undefined
 * is without limit.
 * @param logs how many the owner has
 */
export const logShare = ({ log }: Budget, logs: number): number | undefined =>
  log === undefined ? undefined : Math.max(Math.floor(log.amount / Math.max(1, logs)), 2 * SMALLEST_FILE);

/** Bounds of a log within its share: rotated files become fewer, then smaller. */
export const withinShare = (
  { size, files }: { readonly size: number; readonly files: number },
  share: number | undefined,
): { size: number; files: number } => {
  if (share === undefined || size * (files + 1) <= share) return { size, files };
  const fitting = Math.min(size, Math.max(SMALLEST_FILE, Math.floor(share / 2)));
  return { size: fitting, files: Math.max(1, Math.min(files, Math.floor(share / fitting) - 1)) };
};
