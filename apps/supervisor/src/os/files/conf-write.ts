/** Writes a tenant's conf file as the tenant, atomically. */
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

/** Only the owner has access: a conf file may contain passwords. */
const NEW_FILE = 0o600;

/** Writes a draft beside `path`, calls `put` with it, and removes the draft in any case. */
const writeBeside = (path: string, mode: number, text: string, put: (draft: string) => void): void => {
  // Nobody can predict the name and occupy it.
  const draft = `${path}.${randomBytes(8).toString("hex")}~`;
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(draft, flags, mode);
  try {
    try {
      // The mode of the old file, whatever the umask.
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
 * @throws errno errors; the file is unchanged then
 */
export const replaceConfFile = (identity: FileIdentity, path: string, text: string): void =>
  asUser(identity, () => {
    const stats = lstatSync(path);
    if (!stats.isFile()) throw Object.assign(new Error("it is no longer a regular file"), { code: "EINVAL" });
    writeBeside(path, (stats.mode & 0o777) | NEW_FILE, text, (draft) => renameSync(draft, path));
  });

/**
 * Makes a conf file in one step, as its owner.
 * @throws errno errors; EEXIST where the name exists
 */
export const makeConfFile = (identity: FileIdentity, path: string, text: string): void =>
  asUser(identity, () => writeBeside(path, NEW_FILE, text, (draft) => linkSync(draft, path)));
