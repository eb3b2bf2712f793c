/** One `key = value` of a line of [limits]. */
import { BUDGET_KEYS, BUDGET_QUANTITIES, type BudgetKey } from "../core/budget.ts";
import { suggestion } from "../core/suggestion.ts";
import { trimmed } from "./lines.ts";
import { quoted } from "./quotation.ts";

/** Reads `key = value`; returns the message where the text is anything else. */
export const readShare = (text: string): { readonly key: BudgetKey; readonly amount: number } | string => {
  const equals = text.indexOf("=");
  if (equals <= 0) return `expected "key = value" between the commas, found ${quoted(text)}`;
  const name = trimmed(text.slice(0, equals));
  const value = trimmed(text.slice(equals + 1));
  const key = BUDGET_KEYS.find((known) => known === name);
  if (key === undefined) return `unknown limit ${quoted(name)}: ${suggestion(name, BUDGET_KEYS)}`;
  const { expected, read } = BUDGET_QUANTITIES[key];
  const amount = read(value);
  return amount === undefined ? `${key}: expected ${expected}, found ${quoted(value)}` : { key, amount };
};
