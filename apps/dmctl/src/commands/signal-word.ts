import { SIGNALS } from "@dmhost/contract";
import { nearest } from "@dmhost/supervisor/suggestion";

const NAME_OF_NUMBER = new Map([...SIGNALS].map(([name, number]) => [number, name]));

/** Whether an argument can only mean a signal: `-9`, `-KILL`, `-0`. */
export const isSignalFlag = (word: string): boolean => /^-(?:\d+|[A-Z][A-Z0-9]+)$/.test(word);

/**
 * The contract's name of the signal that a word means: `-9`, `9`, `-KILL`, `-SIGKILL`, `KILL` and `SIGKILL` are all
 * `KILL`. Undefined for 0, negative numbers and unknown names.
 */
export const signalNamed = (word: string): string | undefined => {
  const bare = word.replace(/^-/, "");
  if (/^\d+$/.test(bare)) return NAME_OF_NUMBER.get(Number(bare));
  const name = bare.replace(/^SIG/, "");
  return SIGNALS.has(name) ? name : undefined;
};

/** The signal that a word probably misspells, with a dash if the word has one: `-HUP` for `-HPU`. Undefined if none is near. */
export const nearSignal = (word: string): string | undefined => {
  const near = nearest(word.replace(/^-?(?:SIG)?/, ""), [...SIGNALS.keys()]);
  return near === undefined ? undefined : `${word.startsWith("-") ? "-" : ""}${near}`;
};
