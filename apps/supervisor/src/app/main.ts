/** Entry point of the supervisor. */

import { closeSync, writeSync } from "node:fs";
import { VERSION } from "@dmhost/contract";
import { messageOf } from "../core/error-message.ts";
import { closeInherited } from "../os/processes/re-exec.ts";
import { readFlags, USAGE } from "./flags.ts";
import { openLog } from "./logging.ts";
import { wire } from "./wiring.ts";

const READY_FD = "DMHOST_READY_FD";

/**
 * Takes the descriptor for readiness out of the environment: a program that is executed in this process later must not write to it.
 * @throws Error that names the variable
 */
const takeReadyDescriptor = (): number | undefined => {
  const { [READY_FD]: text } = process.env;
  delete process.env[READY_FD];
  if (text !== undefined && !/^[3-9]$|^[1-9]\d{1,3}$/.test(text))
    throw new Error(`${READY_FD}=${text}: expected the number of a descriptor from 3 to 9999`);
  return text === undefined ? undefined : Number(text);
};

const main = async (): Promise<void> => {
  const [, program = "", ...args] = process.argv;
  const flags = readFlags(args);
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? USAGE : `${VERSION}\n`);
    return;
  }
  const ready = takeReadyDescriptor();
  closeInherited();
  process.umask(0o027);
  const service = await wire(flags, program, openLog(flags.logLevel));
  await service.start();
  if (ready !== undefined) {
    writeSync(ready, "\n");
    closeSync(ready);
  }
};

main().catch((error: unknown) => {
  process.stderr.write(`dmhost supervisor: ${messageOf(error)}\n`);
  process.exit(1);
});
