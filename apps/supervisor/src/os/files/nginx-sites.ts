/** Paths and logs of sites, and the record of the holders of hosts. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { SiteFiles } from "../../web/ports/site-files.ts";
import type { RecordedSites, SiteRecord } from "../../web/ports/site-record.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";
import { digestOf, replaceFile } from "./whole-file.ts";

/** Where things are. */
interface NginxOptions {
  /** Nginx's directory; its account owns `accepted/` below. */
  readonly sitesDir: string;
  readonly logsDir: string;
  readonly fastcgiDir: string;
  /** File that keeps the RecordedSites. */
  readonly memory: string;
  /** How the kernel sees an account. */
  readonly identity: (account: Account) => FileIdentity;
}

/** Bumped when RecordedSites changes its shape. */
const FORMAT = 1;
/** Errors that a path itself causes; others are the machine's, and may pass. */
const UNSEEN: ReadonlySet<string> = new Set(["ENOTDIR", "EACCES", "EPERM", "ELOOP", "ENAMETOOLONG"]);

const own = process.geteuid?.() ?? 0;

export class NginxSites implements SiteFiles, SiteRecord {
  readonly #options: NginxOptions;

  constructor(options: NginxOptions) {
    this.#options = options;
  }

  socketPath({ owner, name }: DaemonKey): string {
    return join(this.#options.fastcgiDir, owner.name, `${name}.sock`);
  }

  logDirectory(owner: Account, group: number | undefined): string {
    const { logsDir, sitesDir } = this.#options;
    const path = join(logsDir, owner.name);
    if (mkdirSync(logsDir, { recursive: true }) !== undefined) chmodSync(logsDir, 0o755);
    if (lstatSync(logsDir).uid !== own) throw new Error(`${logsDir} belongs to another account than the supervisor's`);
    try {
      mkdirSync(path, { mode: 0o750 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const { uid, gid } = lstatSync(path);
    if (!privileged) return path;
    // The web server's account owns this directory.
    const server = lstatSync(join(sitesDir, "accepted")).uid;
    if (uid !== server || gid !== (group ?? 0)) chownSync(path, server, group ?? 0);
    return path;
  }

  canReadLogs(owner: Account, group: number | undefined): boolean {
    // Without root the web server is the owner.
    return !privileged || owner.uid === 0 || group !== undefined;
  }

  ownerOf(viewer: Account, path: string): number | string {
    try {
      const stats = asUser(this.#options.identity(viewer), () => lstatSync(path));
      return stats.isDirectory() ? stats.uid : "is not a directory, or is a link";
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return "there is no such directory";
      if (UNSEEN.has(code)) return `cannot be checked: ${code}`;
      throw error;
    }
  }

  read(): RecordedSites {
    try {
      const { format, digest, value } = JSON.parse(readFileSync(this.#options.memory, "utf8"));
      if (format === FORMAT && digest === digestOf(JSON.stringify(value))) return value as RecordedSites;
    } catch {
      // None was written yet, or it is damaged: then the first claim holds a host.
    }
    return { holders: {}, sites: {} };
  }

  write(memory: RecordedSites): void {
    const digest = digestOf(JSON.stringify(memory));
    replaceFile(this.#options.memory, JSON.stringify({ format: FORMAT, digest, value: memory }), 0o600);
  }
}
