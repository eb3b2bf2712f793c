/** Entry point of the supervisor. */

import { existsSync } from "node:fs";
import { VERSION } from "@dmhost/contract";
import { messageOf } from "../core/error-message.ts";
import { DirectoryInUse, lockDirectory } from "../os/files/run-lock.ts";
import { endLeftDaemons } from "../os/processes/left-daemons.ts";
import { closeInherited } from "../os/processes/re-exec.ts";
import { type Flags, readFlags, USAGE } from "./flags.ts";
import { openLog } from "./logging.ts";
import { takeReadiness } from "./readiness.ts";
import { wire } from "./wiring.ts";

/** Signals that the service handles once it starts. */
const DEFERRED = ["SIGHUP", "SIGINT", "SIGTERM"] as const;

/** Without a handler they would end the program and leave its shim and its daemons. @returns `end` sends those that came again; whether one of them ends the program */
const deferSignals = (): { end(): void; isOver(): boolean } => {
  const come = new Set<NodeJS.Signals>();
  const note = (signal: NodeJS.Signals): void => void come.add(signal);
  for (const signal of DEFERRED) process.on(signal, note);
  return {
    isOver: () => come.has("SIGINT") || come.has("SIGTERM"),
    end: () => {
      for (const signal of DEFERRED) process.off(signal, note);
      for (const signal of come) process.emit(signal, signal);
    },
  };
};

/** Exit code where another supervisor runs: a service manager need not try again. */
const IN_USE = 100;

/** Says on standard output what has been ended. */
const endLeft = async ({ runDir, stateDir }: Flags): Promise<void> => {
  for (const directory of [runDir, stateDir]) if (existsSync(directory)) lockDirectory(directory);
  const ended = await endLeftDaemons({ runDir, stateDir });
  if (ended !== undefined) process.stdout.write(`ended ${ended} processes of daemons that no supervisor ran\n`);
};

const main = async (): Promise<void> => {
  const [, program = "", ...args] = process.argv;
  const flags = readFlags(args);
  if (flags.help || flags.version) {
    process.stdout.write(flags.help ? USAGE : `${VERSION}\n`);
    return;
  }
  if (flags.end) {
    await endLeft(flags);
    return;
  }
  const early = deferSignals();
  const readiness = takeReadiness();
  closeInherited();
  process.umask(0o027);
  const service = await wire(flags, program, openLog(flags.logLevel), early.isOver);
  const started = service.start();
  early.end();
  await started;
  readiness.report();
};

main().catch((error: unknown) => {
  process.stderr.write(`dmhost supervisor: ${messageOf(error)}\n`);
  process.exit(error instanceof DirectoryInUse ? IN_USE : 1);
});
