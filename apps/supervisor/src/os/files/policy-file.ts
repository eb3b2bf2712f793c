/** Reads the policy file, which only root or the supervisor's own account may be able to write. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { codeOf } from "../kernel/error-code.ts";
import { lineThatIsNotUtf8, readUtf8 } from "./utf8.ts";

/**
 * Reads the policy file.
 * @throws Error whose message begins with the path and says what to do
 */
export const readPolicyFile = (path: string): string => {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw new Error(`${path}: the policy file cannot be opened: ${codeOf(error)}`);
  }
  try {
    const stats = fstatSync(fd);
    const own = process.geteuid?.() ?? 0;
    if (!stats.isFile()) throw new Error(`${path}: the policy must be a regular file`);
    if (stats.uid !== 0 && stats.uid !== own) {
      throw new Error(`${path}: the policy file belongs to uid ${stats.uid}; chown root it`);
    }
    if ((stats.mode & 0o022) !== 0) {
      const mode = (stats.mode & 0o7777).toString(8).padStart(4, "0");
      throw new Error(
        `${path}: accounts other than its owner may write to the policy file (mode ${mode}); chmod go-w it`,
      );
    }
    const bytes = readFileSync(fd);
    const text = readUtf8(bytes);
    if (text !== undefined) return text;
    throw new Error(`${path}:${lineThatIsNotUtf8(bytes)}: this line is not UTF-8 text; rewrite it`);
  } finally {
    closeSync(fd);
  }
};
