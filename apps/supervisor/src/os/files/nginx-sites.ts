/**
 * The web server from where the supervisor stands: a directory in which it lays out vhosts, and one in which it finds what
 * became of them. nginx/web-server comes, tries and takes them; the supervisor has no power over that process.
 *
 *     <sites>/offered/sites.conf    ours; its first line is `# generation ID`
 *     <sites>/accepted/served       the web server's own: what every visitor meets
 *     <sites>/accepted/answer       `ID accepted` or `ID refused`; `left out SITE: COMPLAINT` for each; what Nginx says
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { DaemonKey } from "../../core/daemon-key.ts";
import type { Account } from "../../core/policy-rules.ts";
import type { SiteMemory, WebServer, WebServerAnswer } from "../../web/ports/web-server.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";

/** Where things are. */
export interface NginxOptions {
  readonly sitesDir: string;
  readonly logsDir: string;
  readonly fastcgiDir: string;
  /** File that keeps the SiteMemory. */
  readonly memory: string;
  /** How the kernel sees an account. */
  readonly identity: (account: Account) => FileIdentity;
}

/** Bumped when SiteMemory changes its shape. */
const FORMAT = 1;
/** Of what the web server leaves, no more is read. In bytes. */
const LARGEST_ANSWER = 64 << 10;
const LARGEST_SITES = 64 << 20;
const LONGEST_MESSAGE = 1000;
/** Errors that say of a path itself that there is nothing to be seen; others are the machine's, and may pass. */
const UNSEEN: ReadonlySet<string> = new Set(["ENOTDIR", "EACCES", "EPERM", "ELOOP", "ENAMETOOLONG"]);

const own = process.geteuid?.() ?? 0;

/** A file that another account may have made; "" where it is none, or too large. */
const readStranger = (path: string, largest: number): string => {
  let fd: number | undefined;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > largest) return "";
    const text = Buffer.alloc(stats.size);
    return text.toString("utf8", 0, readSync(fd, text, 0, text.length, 0));
  } catch {
    return "";
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
};

const replaceFile = (path: string, text: string, mode: number): void => {
  writeFileSync(`${path}~`, text);
  chmodSync(`${path}~`, mode);
  renameSync(`${path}~`, path);
};

const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Offers vhosts to an nginx that runs nginx/web-server. */
export class NginxSites implements WebServer {
  readonly #options: NginxOptions;
  readonly #offered: string;
  /** The text that lies there; undefined before it has been looked at. */
  #text: string | undefined;

  constructor(options: NginxOptions) {
    this.#options = options;
    this.#offered = join(options.sitesDir, "offered/sites.conf");
  }

  offer(text: string): void {
    this.#text ??= readStranger(this.#offered, LARGEST_SITES);
    const whole = `# generation ${digestOf(text).slice(0, 16)}\n${text}`;
    // Who has no site has nothing to tell.
    if (whole === this.#text || (text === "" && this.#text === "")) return;
    mkdirSync(dirname(this.#offered), { recursive: true, mode: 0o755 });
    chmodSync(dirname(this.#offered), 0o755);
    replaceFile(this.#offered, whole, 0o644);
    this.#text = whole;
  }

  answer(): WebServerAnswer | undefined {
    if (!this.#text) return { accepted: true, message: "", leftOut: new Map() };
    const generation = this.#text.slice(0, this.#text.indexOf("\n")).split(" ")[2];
    const text = readStranger(join(this.#options.sitesDir, "accepted/answer"), LARGEST_ANSWER);
    const [head = "", ...message] = text.split("\n");
    const [id, word] = head.split(" ");
    if (id !== generation || (word !== "accepted" && word !== "refused")) return undefined;
    const leftOut = message.flatMap((line): [string, string][] => {
      const [, site, complaint] = /^left out (\S+): (.*)$/.exec(line) ?? [];
      return site === undefined || complaint === undefined ? [] : [[site, complaint]];
    });
    const rest = message.slice(leftOut.length).join(" ").trim();
    return { accepted: word === "accepted", message: rest.slice(0, LONGEST_MESSAGE), leftOut: new Map(leftOut) };
  }

  inForce(): string {
    return readStranger(join(this.#options.sitesDir, "accepted/served"), LARGEST_SITES);
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
    // Whoever has the directory of what is accepted is the web server.
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
      return stats.isDirectory() ? stats.uid : "is no directory, or a link to one";
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return "there is no such directory";
      if (UNSEEN.has(code)) return `cannot be looked at: ${code}`;
      throw error;
    }
  }

  recall(): SiteMemory {
    try {
      const { format, digest, value } = JSON.parse(readFileSync(this.#options.memory, "utf8"));
      if (format === FORMAT && digest === digestOf(JSON.stringify(value))) return value as SiteMemory;
    } catch {
      // None was written yet, or it is damaged: then the first of those who claim a host has it.
    }
    return { holders: {}, sites: {} };
  }

  remember(memory: SiteMemory): void {
    const digest = digestOf(JSON.stringify(memory));
    replaceFile(this.#options.memory, JSON.stringify({ format: FORMAT, digest, value: memory }), 0o600);
  }
}
