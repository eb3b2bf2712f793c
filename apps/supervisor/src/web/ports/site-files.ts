/** Paths and owners of the files of sites. All methods may throw errno errors. */
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";

export interface SiteFiles {
  /** The path at which the daemon's socket is published, whether it exists or not. */
  socketPath(key: DaemonKey): string;
  /** Makes the directory for the logs of an owner's hosts. @param group gid that may read them, if any */
  logDirectory(owner: Account, group: number | undefined): string;
  /** Whether the owner can read these logs. @param group as it was given to logDirectory */
  canReadLogs(owner: Account, group: number | undefined): boolean;
  /**
   * Returns the uid of the owner of a directory as `viewer` sees it, or the reason why it sees none. Throws where that
   * cannot be determined.
   */
  ownerOf(viewer: Account, path: string): number | string;
}
