/** Accesses files as a tenant, without root's capabilities (docs/explanation/security.md#rule-1). */
import { type FileIdentity, setFileIdentity } from "../kernel/file-identity.ts";
import { canActAsOthers } from "../kernel/privileges.ts";

const own: FileIdentity = {
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
  groups: process.getgroups?.() ?? [],
};

/** No promise: its later part would run as root. */
type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/**
 * Runs `work` with the identity of an account for access to files. `work` may use only synchronous fs calls: they stay on
 * this thread, and only its identity changes.
 * @throws what `work` throws; EPERM when the kernel does not let this process become `identity`
 */
export const asUser = <T>(identity: FileIdentity, work: () => Synchronous<T>): T => {
  if (!canActAsOthers) return work();
  try {
    setFileIdentity(identity);
    return work();
  } finally {
    restore();
  }
};

const restore = (): void => {
  try {
    setFileIdentity(own);
  } catch (error) {
    // A crash is better than continuing with a tenant's identity.
    process.stderr.write(`cannot restore the own identity after acting as a tenant: ${String(error)}\n`);
    process.abort();
  }
};
