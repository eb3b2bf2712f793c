import type { Amount, Limit, Unit } from "../core/resource-limit.ts";

const FACTORS: { readonly [U in Unit]: ReadonlyMap<string, number> } = {
  bytes: new Map([
    ["", 1],
    ["K", 1024],
    ["M", 1024 ** 2],
    ["G", 1024 ** 3],
  ]),
  number: new Map([
    ["", 1],
    ["K", 1024],
    ["M", 1024 ** 2],
    ["G", 1024 ** 3],
  ]),
  seconds: new Map([
    ["", 1],
    ["s", 1],
    ["m", 60],
    ["h", 3600],
  ]),
};

/** How the amounts of a unit are written, in words that can follow "expected". */
export const AMOUNT_WORDS: { readonly [U in Unit]: string } = {
  bytes: "a number of bytes, or one with K, M or G after it",
  number: "a whole number, or one with K, M or G after it",
  seconds: "a number of seconds, or one with s, m or h after it",
};

/** An amount in the unit's own measure (K is 1024); undefined where the text is of no such form or too large. */
const readAmount = (text: string, unit: Unit): Amount | undefined => {
  if (text === "unlimited") return text;
  const [, digits = "", suffix = ""] = /^(\d{1,16})([A-Za-z]?)$/.exec(text) ?? [];
  const amount = digits === "" ? Number.NaN : Number(digits) * (FACTORS[unit].get(suffix) ?? Number.NaN);
  return Number.isSafeInteger(amount) ? amount : undefined;
};

const atMost = (soft: Amount, hard: Amount): boolean => hard === "unlimited" || (soft !== "unlimited" && soft <= hard);

/**
 * A limit as `AMOUNT` (soft and hard both) or `SOFT:HARD`; undefined where it is neither, the soft one is above the hard, or
 * below `least`.
 */
export const readLimit = (text: string, unit: Unit, least = 0): Limit | undefined => {
  const [softText = "", hardText = softText, more] = text.split(":");
  const soft = readAmount(softText, unit);
  const hard = readAmount(hardText, unit);
  if (soft === undefined || hard === undefined || more !== undefined || !atMost(soft, hard) || !atMost(least, soft))
    return undefined;
  return { soft, hard };
};

/** A limit as a file can say it. */
export const writeLimit = ({ soft, hard }: Limit): string => (soft === hard ? `${soft}` : `${soft}:${hard}`);
