/** The programs that scripts of service directories call by their old names, where ordinary accounts can run them. */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHECKOUT } from "../program.ts";

/** Debian's fails for want of root, even where the account is there already. */
const SETUIDGID = `#!/bin/sh
account=$1
shift
[ "$(id -un)" = "$account" ] && exec "$@"
exec /usr/bin/setuidgid "$account" "$@"
`;

/** Puts them into `directory`, which is made; what is not ours is Debian's. */
export const layOutTools = (directory: string): void => {
  const own = join(CHECKOUT, "daemontools");
  if (existsSync(own)) cpSync(own, directory, { recursive: true, dereference: true });
  else {
    mkdirSync(directory);
    writeFileSync(join(directory, "setuidgid"), SETUIDGID);
  }
  chmodSync(directory, 0o755);
  for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o755);
};
