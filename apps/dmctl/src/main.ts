/** dmctl: drives the daemons of a dmhost supervisor. */
import process from "node:process";
import { dispatch } from "./dispatch.ts";
import { isReaderGone } from "./session.ts";

// Each write tells its caller of its error; without a listener the stream would throw it as well.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error) => {
    if (!isReaderGone(error)) process.exitCode = 1;
  });
}

dispatch(process.argv.slice(2), {
  env: process.env,
  uid: process.geteuid?.() ?? 0,
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  terminal: process.stdout.isTTY === true,
  interactive: process.stdin.isTTY === true && process.stderr.isTTY === true,
}).then((code) => process.exit(code));
