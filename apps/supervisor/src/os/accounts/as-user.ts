/** Touching files with a tenant's authority, so that root's powers are absent (docs/explanation/security.md#rule-1). */
import { type FileIdentity, setFileIdentity } from "../kernel/libc.ts";
import { privileged } from "../kernel/privileges.ts";

const own: FileIdentity = {
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};

/** Only what is done when it returns: a promise would go on as root. */
type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Runs `work` with the file authority of `identity`. Only synchronous fs calls: they stay on this thread, whose identity
 * is the only one that changes.
 * @throws what `work` throws; EPERM when the kernel does not let this process become `identity`
 */
export const asUser = <T>(identity: FileIdentity, work: () => Synchronous<T>): T => {
  if (!privileged) return work() as T;
  try {
    setFileIdentity(identity);
    return work() as T;
  } finally {
    restore();
  }
};

const restore = (): void => {
  try {
    setFileIdentity(own);
  } catch (error) {
    // Going on with a tenant's identity as root's would be worse than not going on.
    process.stderr.write(`cannot become root again after acting as a tenant: ${String(error)}\n`);
    process.abort();
  }
};
