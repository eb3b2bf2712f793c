/** Directories in which an account works and whose parents it cannot change: the supervisor acts in them as the account. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** Name of a socket in such a directory, and of one that is to replace it. */
export const SOCKET = "socket";
export const NEXT_SOCKET = `${SOCKET}~`;

/** Its owner may write, its files get its group, the group may traverse it, others have no access. */
const MODE = 0o2710;
const O_PATH = 0o10000000;

/** Calls `work` as the directory's owner with a path of the directory, which the owner may not be able to reach by its name. */
export const within = <T>(
  directory: string,
  owner: FileIdentity,
  work: (inside: string) => T extends PromiseLike<unknown> ? never : T,
): T => {
  const fd = openSync(directory, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    return asUser(owner, () => work(`/proc/self/fd/${fd}`));
  } finally {
    closeSync(fd);
  }
};

/** Whether `path` is a directory as `makeOwned` makes it. */
export const isOwned = (path: string, owner: FileIdentity, group: number): boolean => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found?.isDirectory()) return false;
  return found.uid === owner.uid && found.gid === group && (found.mode & 0o7777) === MODE;
};

/**
 * Makes a directory that the owner may write to and that the group may traverse.
 * @throws errno errors
 */
export const makeOwned = (path: string, owner: FileIdentity, group: number): void => {
  mkdirSync(path, { mode: 0o700 });
  const own = process.geteuid?.() ?? 0;
  chownSync(path, own, group);
  // Only a member of the group may set the setgid bit where root lacks CAP_FSETID.
  asUser({ uid: own, gid: group, groups: [group] }, () => chmodSync(path, MODE));
  if (owner.uid !== own) chownSync(path, owner.uid, group);
};

/** Removes a directory with the sockets in it; false where it holds other files. */
export const removeOwned = (path: string, owner: FileIdentity): boolean => {
  try {
    within(path, owner, (inside) => {
      for (const name of [SOCKET, NEXT_SOCKET]) removeFile(join(inside, name));
    });
    rmdirSync(path);
    return true;
  } catch (error) {
    return codeOf(error) === "ENOENT";
  }
};

const removeFile = (path: string): void => {
  try {
    unlinkSync(path);
  } catch {
    // There is none, or it is a directory, which rmdir then reports.
  }
};
