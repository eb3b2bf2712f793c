import { BUDGET_KEYS, type BudgetKey } from "../core/budget.ts";
import { suggestion } from "../core/suggestion.ts";
import { BYTES, CORES, MEMORY, readBytes, readCores, readMemory, readProcesses } from "./allowances.ts";
import { trimmed } from "./lines.ts";
import { quoted } from "./quotation.ts";

/** A key of a line of [limits], as the man page needs to know it. */
interface ShareKey {
  readonly expected: string;
  readonly read: (text: string) => number | undefined;
}

const MOST_DAEMONS = 256;
const MOST_RESTARTS = 100_000;
const upTo =
  (most: number) =>
  (text: string): number | undefined =>
    /^\d{1,6}$/.test(text) && Number(text) <= most ? Number(text) : undefined;
const PROCESSES = "a whole number from 1 to 4194304";

/** Every key of [limits]. */
export const SHARE_KEYS: { readonly [K in BudgetKey]: ShareKey } = {
  memory: { expected: MEMORY, read: readMemory },
  processes: { expected: PROCESSES, read: readProcesses },
  cpu: { expected: CORES, read: readCores },
  daemons: { expected: `a whole number from 0 to ${MOST_DAEMONS}`, read: upTo(MOST_DAEMONS) },
  log: { expected: BYTES, read: readBytes },
  restarts: {
    expected: `a whole number of restarts a minute from 1 to ${MOST_RESTARTS}`,
    read: (text) => upTo(MOST_RESTARTS)(text) || undefined,
  },
};

/** Reads `key = value`; what is wrong with it, in words, where it is no such thing. */
export const readShare = (text: string): { readonly key: BudgetKey; readonly amount: number } | string => {
  const equals = text.indexOf("=");
  if (equals <= 0) return `expected "key = value" between the commas, found ${quoted(text)}`;
  const name = trimmed(text.slice(0, equals));
  const value = trimmed(text.slice(equals + 1));
  const key = BUDGET_KEYS.find((known) => known === name);
  if (key === undefined) return `unknown limit ${quoted(name)}: ${suggestion(name, BUDGET_KEYS)}`;
  const { expected, read } = SHARE_KEYS[key];
  const amount = read(value);
  return amount === undefined ? `${key}: expected ${expected}, found ${quoted(value)}` : { key, amount };
};
