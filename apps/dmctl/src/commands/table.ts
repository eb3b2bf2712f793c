import { EXIT, VERSION } from "@dmhost/contract";
import { write } from "../session.ts";
import { show } from "./answer.ts";
import type { Command } from "./command.ts";
import { CONTROL_COMMANDS, SIGNAL_COMMANDS } from "./control.ts";
import { FILE_COMMANDS, RESCAN, TAI64NLOCAL } from "./files.ts";
import { helpFor, helpText } from "./help.ts";
import { IMAGES } from "./images.ts";
import { DETAIL_COMMANDS, STATUS_COMMANDS, SUPERVISOR_COMMANDS } from "./inspect.ts";

/** All commands, in the order of help and man page. The first runs when `dmctl` is called without a command. */
export const COMMANDS: readonly Command[] = [
  ...STATUS_COMMANDS,
  RESCAN,
  ...CONTROL_COMMANDS,
  ...FILE_COMMANDS,
  ...SIGNAL_COMMANDS,
  ...DETAIL_COMMANDS,
  TAI64NLOCAL,
  IMAGES,
  ...SUPERVISOR_COMMANDS,
  {
    name: "help",
    takes: "command",
    options: [],
    summary: "show all commands, or explain one",
    examples: ["dmctl help log"],
    async run({ id, session }) {
      await write(session.output, id === "" ? helpText(COMMANDS) : helpFor(COMMANDS, id));
      return EXIT.done;
    },
  },
  {
    name: "version",
    takes: "none",
    options: ["json"],
    summary: "print the version of dmctl",
    run: (call) => show(call, { version: VERSION }, `dmctl ${VERSION}\n`),
  },
];
