import { CpuBudget } from "./cpu-budget.ts";

/** Share of one processor for one owner's daemons, and the largest balance in ms. */
export const SHARE = 0.05;
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
