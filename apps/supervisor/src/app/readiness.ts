/** The report of readiness to a service manager, as s6's notification-fd expects it. */
import { closeSync, writeSync } from "node:fs";

const READY_FD = "DMHOST_READY_FD";

interface Readiness {
  /** To be called once, when the control API answers. */
  report(): void;
}

/**
 * Takes the descriptor out of the environment: a program that is executed in this process later must not write to it.
 * @throws Error that names the variable
 */
export const takeReadiness = (environment: NodeJS.ProcessEnv = process.env): Readiness => {
  const { [READY_FD]: text } = environment;
  delete environment[READY_FD];
  if (text === undefined) return { report: () => undefined };
  if (!/^[3-9]$|^[1-9]\d{1,3}$/.test(text))
    throw new Error(`${READY_FD}=${text}: expected the number of a descriptor from 3 to 9999`);
  return {
    report: () => {
      writeSync(Number(text), "\n");
      closeSync(Number(text));
    },
  };
};
