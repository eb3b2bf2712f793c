import { CpuBudget } from "./cpu-budget.ts";

/** Part of one processor that may be spent for the daemons of one owner, and what of it is saved up, in ms. */
const SHARE = 0.05;
const BURST = 100;

/** One CPU budget for each owner. */
export class OwnerBudgets {
  readonly #budgets = new Map<string, CpuBudget>();

  of(owner: string): CpuBudget {
    const budget = this.#budgets.get(owner) ?? new CpuBudget(SHARE, BURST);
    this.#budgets.set(owner, budget);
    return budget;
  }
}
