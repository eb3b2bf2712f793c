import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { SiteFiles } from "./site-files.ts";

/** A machine on which every directory belongs to its viewer, unless `directories` says otherwise. */
export class FakeSiteFiles implements SiteFiles {
  directories: (path: string, viewer: Account) => number | string = (_path, viewer) => viewer.uid;
  /** Error of the next calls of logDirectory, if there is one. */
  logFault: unknown;
  logsDir = "/var/log/dmhost-sites";
  fastcgiDir = "/run/fastcgi";

  socketPath({ owner, name }: DaemonKey): string {
    return `${this.fastcgiDir}/${owner.name}/${name}.sock`;
  }

  logDirectory(owner: Account): string {
    if (this.logFault !== undefined) throw this.logFault;
    return `${this.logsDir}/${owner.name}`;
  }

  canReadLogs(_owner: Account, group: number | undefined): boolean {
    return group !== undefined;
  }

  ownerOf(viewer: Account, path: string): number | string {
    return this.directories(path, viewer);
  }
}
