/** Names and numbers of signals. */
import { constants } from "node:os";

const NUMBERS = new Map<string, number>(Object.entries(constants.signals));
/** Of two names of one signal the first counts. */
const NAMES = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** 9 for SIGKILL; 0 for a name that this machine does not know. */
export const signalNumber = (name: string): number => NUMBERS.get(name) ?? 0;

/** SIGKILL for 9. */
export const signalName = (number: number): string => NAMES.get(number) ?? `signal ${number}`;
