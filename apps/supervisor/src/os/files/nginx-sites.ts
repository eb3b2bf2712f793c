/** Paths and logs of sites, and the record of the holders of hosts. */
import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { SiteFiles } from "../../web/ports/site-files.ts";
import type { RecordedSites, SiteRecord } from "../../web/ports/site-record.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";
import { isText, mapOf, object, type Shape } from "./shape.ts";
import { digestOf, readPlainFile, replaceFile } from "./whole-file.ts";

/** Where things are. */
interface NginxOptions {
  /** Nginx's directory; its account owns `accepted/` below. */
  readonly sitesDir: string;
  readonly logsDir: string;
  readonly fastcgiDir: string;
  /** File that keeps the RecordedSites; a copy is beside it. */
  readonly memory: string;
  /** Called for a file that cannot be used, with its name and what is wrong. */
  readonly report: (problem: string) => void;
  /** How the kernel sees an account. */
  readonly identity: (account: Account) => FileIdentity;
}

/** Bumped when RecordedSites changes its shape. */
const FORMAT = 1;
/** Bytes of the largest record that is read. */
const LARGEST = 64 * 1024 * 1024;

// The digest vouches for the rest.
const isSite = object<{ readonly id: string }>({ id: isText }) as Shape<RecordedSites["sites"][string]>;
const isRecord = object<RecordedSites>({ holders: mapOf(isText), sites: mapOf(isSite) });
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

  get #files(): readonly string[] {
    const { memory } = this.#options;
    return [memory, `${memory}.copy`];
  }

  read(): RecordedSites {
    const found = this.#files.map((path) => this.#readFile(path));
    const recorded = found.find((each) => each !== undefined);
    if (!recorded) return { holders: {}, sites: {} };
    try {
      if (found.includes(undefined)) this.write(recorded);
    } catch {
      // The next change reports it.
    }
    return recorded;
  }

  #readFile(path: string): RecordedSites | undefined {
    const { report } = this.#options;
    let text: string;
    try {
      text = readPlainFile(path, LARGEST);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") report(`${path} cannot be read: ${messageOf(error)}`);
      return undefined;
    }
    try {
      const { format, digest, value } = JSON.parse(text) ?? {};
      if (format !== FORMAT) report(`${path} has the format ${format} of another release, not ${FORMAT}`);
      else if (digest === digestOf(JSON.stringify(value)) && isRecord(value)) return value;
      else report(`${path} is damaged`);
    } catch {
      report(`${path} is damaged: it is no JSON`);
    }
    return undefined;
  }

  write(memory: RecordedSites): void {
    const text = JSON.stringify({ format: FORMAT, digest: digestOf(JSON.stringify(memory)), value: memory });
    for (const path of this.#files) {
      try {
        replaceFile(path, text, 0o600);
      } catch (error) {
        if (codeOf(error) !== "EISDIR") throw error;
        rmSync(path, { recursive: true, force: true });
        replaceFile(path, text, 0o600);
      }
    }
  }
}
