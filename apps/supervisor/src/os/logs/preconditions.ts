/** Checks what a logger needs before it is started: it could not report a lack of it to the daemon's owner. */
import { closeSync, constants, existsSync, lstatSync, openSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { LaunchPlan } from "../../launch/plan.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** Where Debian installs the program that starts s6-log's processors. */
const EXECLINEB = ["/usr/bin/execlineb", "/usr/lib/execline/bin/execlineb", "/bin/execlineb"];

/**
 * Checks that a logger that compresses can do so: otherwise s6-log would wait for its compressor for ever.
 * @throws Error where a program is not installed
 */
export const requireCompressor = ({ words }: LaunchPlan): void => {
  if (!words.some((word) => word.startsWith("!")) || EXECLINEB.some((path) => existsSync(path))) return;
  throw new Error("log-compress=yes needs the program execlineb; root can install the package execline");
};

/** A full disk is no reason to refuse. */
const REFUSED: ReadonlySet<string> = new Set(["EACCES", "EPERM", "EROFS", "ENOTDIR", "ENOENT"]);

/** Executes as the owner, who alone may be able to examine the directory. */
const whyUnwritable = (owner: string, directory: string, code: string): string => {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  const denied = `${owner} may not create files`;
  if (stats?.isSymbolicLink()) {
    return `${directory} is a link to ${readlinkSync(directory)}, in which ${denied} (${code}); put a directory there`;
  }
  if (stats && !stats.isDirectory()) return `${directory} is not a directory; replace it by one`;
  return `${denied} in ${directory} (${code})`;
};

/**
 * Checks that an owner's logger can make files in a directory.
 * @throws Error with the reason, in words
 */
export const requireWritable = (owner: string, identity: FileIdentity, directory: string): void =>
  asUser(identity, () => {
    const probe = join(directory, `.${process.pid}~`);
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      closeSync(openSync(probe, flags, 0o600));
      rmSync(probe, { force: true });
    } catch (error) {
      const code = codeOf(error);
      if (REFUSED.has(code)) throw new Error(whyUnwritable(owner, directory, code));
    }
  });
