/** Command line of the benchmarks. */
import { parseArgs } from "node:util";
import { suggestion } from "@dmhost/supervisor/suggestion";
import { FIGURES, type Figure } from "./packages.ts";
import { startsFor } from "./ratio.ts";

/** Length of a slice of throughput in ms, by how php-cgi ends: a slice with exits contains an exit and the next start. */
export const SLICE = { never: 100, exits: 1000 } as const;

/** Options of the command line. */
export interface Options {
  /** Length of each run. */
  readonly seconds: number;
  /** Parts of names of setups; empty for all. */
  readonly setups: readonly string[];
  /** Names of troubles; empty for all. */
  readonly troubles: readonly string[];
  /** File to which each request without a 200 is appended as a line of JSON. */
  readonly record: string | undefined;
}

/** A command line that makes no sense. */
export class WrongUse extends Error {}

const OPTIONS = {
  seconds: { type: "string", default: "60" },
  setup: { type: "string", multiple: true, default: [] as string[] },
  trouble: { type: "string", multiple: true, default: [] as string[] },
  record: { type: "string" },
} as const;

const parsed = (args: readonly string[]) => {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const [, unknown] = /^Unknown option '([^']*)'/.exec(message) ?? [];
    const known = Object.keys(OPTIONS).map((name) => `--${name}`);
    throw new WrongUse(
      unknown === undefined
        ? message.replace(/\n.*/s, "")
        : `unknown option "${unknown}": ${suggestion(unknown, known)}`,
    );
  }
};

const isFigure = (name: string): name is Figure => FIGURES.some((figure) => figure === name);

/**
 * Reads the command line; without figures all are chosen, in the order of FIGURES.
 * @param setups names of all setups
 * @param troubles names of all troubles
 * @throws WrongUse
 */
export const readCommandLine = (
  args: readonly string[],
  setups: readonly string[],
  troubles: readonly string[],
): { readonly figures: readonly Figure[]; readonly options: Options } => {
  const { values, positionals } = parsed(args);
  for (const name of positionals)
    if (!isFigure(name)) throw new WrongUse(`unknown figure "${name}": ${suggestion(name, FIGURES)}`);
  for (const name of values.trouble)
    if (!troubles.includes(name)) throw new WrongUse(`unknown trouble "${name}": ${suggestion(name, troubles)}`);
  for (const part of values.setup)
    if (!setups.some((name) => name.includes(part)))
      throw new WrongUse(`no setup has "${part}" in its name: expected a part of one of "${setups.join('", "')}"`);
  const figures = FIGURES.filter((figure) => positionals.length === 0 || positionals.includes(figure));
  const seconds = Number(values.seconds);
  if (!Number.isFinite(seconds) || seconds < 1)
    throw new WrongUse(`--seconds ${values.seconds}: expected a number of at least 1`);
  if (figures.includes("throughput")) checkSlices(seconds);
  const { setup, trouble, record } = values;
  return { figures, options: { seconds, setups: setup, troubles: trouble, record } };
};

const checkSlices = (seconds: number): void => {
  try {
    for (const length of Object.values(SLICE)) startsFor(seconds, length);
  } catch (error) {
    throw new WrongUse(error instanceof Error ? error.message : String(error));
  }
};
