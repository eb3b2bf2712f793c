/** Writing a tenant's conf file with the tenant's authority, so that a reader finds a whole text, never a part. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";

/** A new file may come to hold passwords: it is its owner's alone. */
const NEW_FILE = 0o600;

/** Writes a text beside its place, and has it put there; whatever comes of that, nothing is left beside it. */
const writeBeside = (path: string, mode: number, text: string, put: (draft: string) => void): void => {
  // Nobody can have put anything in the way of a name that they cannot know.
  const draft = `${path}.${randomBytes(8).toString("hex")}~`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(draft, flags, mode);
  try {
    try {
      // No umask has a say in what the file had before.
      fchmodSync(fd, mode);
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    put(draft);
  } finally {
    rmSync(draft, { force: true });
  }
};

/**
 * Replaces a conf file in one step, as its owner.
 * @throws errno errors; the old text is still there then
 */
export const replaceConfFile = (identity: FileIdentity, path: string, text: string): void =>
  asUser(identity, () => {
    const stats = lstatSync(path);
    if (!stats.isFile()) throw Object.assign(new Error("it is no regular file any more"), { code: "EINVAL" });
    writeBeside(path, (stats.mode & 0o777) | NEW_FILE, text, (draft) => renameSync(draft, path));
  });

/**
 * Makes a conf file in one step, as its owner, where there is nothing of that name.
 * @throws errno errors, EEXIST where there is something
 */
export const makeConfFile = (identity: FileIdentity, path: string, text: string): void =>
  asUser(identity, () => writeBeside(path, NEW_FILE, text, (draft) => linkSync(draft, path)));
