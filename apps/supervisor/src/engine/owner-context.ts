/** What all daemons of an owner share. */
import type { Budget } from "../core/budget.ts";

export interface OwnerContext {
  readonly budget: Budget;
  /** When the next restart may come: `now`, or later. In ms. */
  earliest(now: number): number;
  /** A restart came. */
  restarted(): void;
  /** Bytes that each of their logs may have; undefined is without limit. */
  logShare(): number | undefined;
}
