/** Directories of sockets: only the supervisor changes them, and others pass through them without listing them. */
import { chmodSync, chownSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { messageOf } from "../../core/error-message.ts";
import { codeOf } from "../kernel/error-code.ts";

/** Modes of a directory that others may traverse: its group alone, or all accounts. */
export const TRAVERSABLE = { byGroup: 0o710, byAll: 0o711 } as const;

/**
 * Makes the directory `path` with this group and mode, or gives them to it.
 * @throws errno errors; EPERM where it does not belong to the supervisor
 */
export const makeTraversable = (path: string, gid: number, mode: number): void => {
  mkdirSync(path, { recursive: true, mode });
  const before = lstatSync(path);
  if (before.uid !== process.geteuid?.()) {
    throw Object.assign(new Error(`EPERM: ${path} belongs to uid ${before.uid}, not to the supervisor`), {
      code: "EPERM",
    });
  }
  if (before.gid !== gid) chownSync(path, before.uid, gid);
  if ((before.mode & 0o7777) !== mode) chmodSync(path, mode);
};

/** Removes a socket, or any file that is not a directory. Returns why that failed, or undefined when it is gone. */
export const unlinkSocket = (path: string): string | undefined => {
  try {
    unlinkSync(path);
    return undefined;
  } catch (error) {
    return ["ENOENT", "ENOTDIR"].includes(codeOf(error)) ? undefined : messageOf(error);
  }
};
