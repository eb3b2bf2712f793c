/** Program `visitor SOCKET SCRIPT` for the tests' accounts: prints the page, or prints the error's code and exits with 1. */
import { askForPage } from "./fastcgi-client.ts";

const [socket = "", script = ""] = process.argv.slice(2);
askForPage(socket, script).then(
  (page) => process.stdout.write(page),
  (error: NodeJS.ErrnoException) => {
    process.stdout.write(error.code ?? error.message);
    process.exitCode = 1;
  },
);
