/** dmctl: drives the daemons of a dmhost supervisor. */
import process from "node:process";
import { isatty } from "node:tty";
import { runtimeFetch } from "@dmhost/client";
import { PATIENCE } from "./control-socket.ts";
import { dispatch } from "./dispatch.ts";

// Each write reports its error to its caller; without a listener the stream would throw it as well.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

dispatch(process.argv.slice(2), {
  fetch: runtimeFetch,
  patience: PATIENCE,
  env: process.env,
  uid: process.geteuid?.() ?? 0,
  // Made at its first use: it costs a millisecond.
  get input() {
    return process.stdin;
  },
  output: process.stdout,
  errors: process.stderr,
  terminal: isatty(1),
  interactive: isatty(0) && isatty(2),
}).then((code) => process.exit(code));
