/** Filesystem uid and gid (setfsuid(2)) and supplementary groups of the calling thread. */
import { checked, declare, declareSystemCall } from "./libc.ts";

const setfsuid = declare("int setfsuid(uint32_t)");
const setfsgid = declare("int setfsgid(uint32_t)");
const setgroups = declareSystemCall("size_t", "uint32_t *");

/** Number on arm64 and x86-64. The system call changes one thread; setgroups(3) of the C library changes all. */
const SYS_SETGROUPS = process.arch === "arm64" ? 159 : 116;
/** No valid id: setfsuid(2) returns the current id and changes nothing. It reports no error, so the result is read back. */
const QUERY = 0xffff_ffff;

/** User, group and supplementary groups for access to files. */
export interface FileIdentity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/**
 * Gives the calling thread another identity for access to files.
 * @throws errno errors where the kernel refuses; the identity may have changed in part
 */
export const setFileIdentity = (identity: FileIdentity): void => {
  checked("setgroups", setgroups(SYS_SETGROUPS, identity.groups.length, Uint32Array.from(identity.groups)));
  setfsgid(identity.gid);
  setfsuid(identity.uid);
  if (setfsuid(QUERY) !== identity.uid || setfsgid(QUERY) !== identity.gid) {
    throw Object.assign(new Error(`setfsuid or setfsgid: EPERM, becoming uid ${identity.uid}, gid ${identity.gid}`), {
      code: "EPERM",
    });
  }
};
