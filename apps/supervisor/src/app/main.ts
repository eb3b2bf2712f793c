/** Entry point of the supervisor. */

import { VERSION } from "@dmhost/contract";
import { messageOf } from "../core/error-message.ts";
import { DirectoryInUse } from "../os/files/run-lock.ts";
import { closeInherited } from "../os/processes/re-exec.ts";
import { readFlags, USAGE } from "./flags.ts";
import { openLog } from "./logging.ts";
import { takeReadiness } from "./readiness.ts";
import { wire } from "./wiring.ts";

/** Exit code where another supervisor runs: a service manager need not try again. */
const IN_USE = 100;

const main = async (): Promise<void> => {
  const [, program = "", ...args] = process.argv;
  const flags = readFlags(args);
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? USAGE : `${VERSION}\n`);
    return;
  }
  const readiness = takeReadiness();
  closeInherited();
  process.umask(0o027);
  const service = await wire(flags, program, openLog(flags.logLevel));
  await service.start();
  readiness.report();
};

main().catch((error: unknown) => {
  process.stderr.write(`dmhost supervisor: ${messageOf(error)}\n`);
  process.exit(error instanceof DirectoryInUse ? IN_USE : 1);
});
