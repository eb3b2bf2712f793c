/** What the policy lets an owner use of the machine: [limits]. */
import { type Allowance, BOUNDLESS, writeBytes } from "./allowance.ts";

/** What can be given: of the machine, in number of daemons, in bytes of logs, in restarts a minute. */
export const BUDGET_KEYS = ["memory", "processes", "cpu", "daemons", "log", "restarts"] as const;
export type BudgetKey = (typeof BUDGET_KEYS)[number];

/** An amount as a line of [limits] says it. */
export const writeShare = (key: BudgetKey, amount: number): string =>
  key === "memory" || key === "log" ? writeBytes(amount) : String(amount);

/** An amount and the line of the policy file that says it. */
export interface Share {
  readonly amount: number;
  readonly line: number;
}

/** What one owner has; what is not in it is without limit. */
export type Budget = { readonly [K in BudgetKey]?: Share };

/** What its owner's cgroup is told. */
export const budgetAllowance = ({ memory, processes, cpu }: Budget): Allowance => ({
  ...BOUNDLESS,
  memory: memory?.amount,
  processes: processes?.amount,
  cpu: cpu?.amount,
});

/** In ms. */
const MINUTE = 60_000;

/**
 * When the next restart may come, if `most` of them fit into any minute.
 * @param times of those there were, in ascending order, in ms
 */
export const nextRoom = (times: readonly number[], most: number, now: number): number => {
  const recent = times.filter((time) => time > now - MINUTE);
  if (recent.length < most) return now;
  // One that may have none at all is looked at again, for the policy can change.
  return (recent[recent.length - most] ?? now) + MINUTE;
};

/** Those of the times that still count. */
export const recentOf = (times: readonly number[], now: number): readonly number[] =>
  times.filter((time) => time > now - MINUTE);

/** Smallest log file, and the size of one by default (docs/reference/logs.md). */
const SMALLEST_FILE = 4096;

/**
 * What a log may be, current file and rotated ones together, so that all logs of an owner are within their budget:
 * the same for each. Undefined is without limit.
 * @param logs how many the owner has
 */
export const logShare = ({ log }: Budget, logs: number): number | undefined =>
  log === undefined ? undefined : Math.max(Math.floor(log.amount / Math.max(1, logs)), 2 * SMALLEST_FILE);

/** Bounds of a log that keep within a share: rotated files become fewer, then smaller. */
export const withinShare = (
  { size, files }: { readonly size: number; readonly files: number },
  share: number | undefined,
): { size: number; files: number } => {
  if (share === undefined || size * (files + 1) <= share) return { size, files };
  const fitting = Math.min(size, Math.max(SMALLEST_FILE, Math.floor(share / 2)));
  return { size: fitting, files: Math.max(1, Math.min(files, Math.floor(share / fitting) - 1)) };
};
