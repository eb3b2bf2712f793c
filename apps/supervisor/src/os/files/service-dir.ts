/**
 * An owner's service directories (man/daemon.conf.5.md#service-directories), read with the owner's authority: nothing
 * in them is believed that somebody else may have written.
 */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, readSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { ServiceText } from "../../core/definition.ts";
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/libc.ts";
import { distrust, escaped, MOST_LISTED, openOwn, readText, type Selection } from "./conf-dir.ts";
import { entriesOf, Overcrowded } from "./entries.ts";

/** What a directory says, and what tells it from what it was. */
export interface ServiceContent extends ServiceText {
  /** Equal for equal `run`, `log/run`, `finish`, `conf`, `env/USER` and presence of `down`, in the same place. */
  readonly fingerprint: string;
}

/** A directory with a `run`: what it says, or why it is not believed, `path: reason`. */
export type FoundService = { readonly name: string; readonly path: string } & (
  | { readonly content: ServiceContent; readonly problem: undefined }
  | { readonly content: undefined; readonly problem: string }
);

/** What a directory of service directories holds. */
export interface ServiceDirectories {
  readonly directories: readonly FoundService[];
  /** What could not be used at all, each `path: reason`. */
  readonly problems: readonly string[];
  /** Names of those that are too many, and of others beside them. */
  readonly passedOver: readonly string[];
  /** Whether the directory itself was readable and to be trusted. */
  readonly complete: boolean;
}

/** Bytes of a program that are compared; a longer one has changed when its size, time or inode has. */
const COMPARED = 65_536;
/** Entries that are looked at at most, with a `run` or without. */
const MOST_ENTRIES = 4096;
/** Directories that are watched at most, an owner, besides what is in them. */
const MOST_WATCHED = 256;
const NAMING = "use at most 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit";

/** Why a directory says nothing; its message begins with the path. */
class Disbelief extends Error {}

/** Runs `work`; what is not there is undefined. */
const ifThere = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
};

const isThere = (path: string): boolean => ifThere(() => lstatSync(path)) !== undefined;

/** The directories from the account's home, or else from `/`, down to a path that has no links in it. */
const chainTo = (account: Account, path: string): string[] => {
  const home = ifThere(() => realpathSync(account.home)) ?? account.home;
  const begin = path === home || path.startsWith(`${home}/`) ? home : "";
  const chain = [begin || "/"];
  let at = begin;
  for (const segment of path
    .slice(begin.length)
    .split("/")
    .filter((part) => part !== "")) {
    at += `/${segment}`;
    chain.push(at);
  }
  return chain;
};

/**
 * The directory that an entry is: itself, or what a link of its owner's leads to, which must be the owner's or root's all
 * the way, as svscan follows links to directories.
 */
const resolve = (account: Account, path: string): string => {
  const linked = lstatSync(path).isSymbolicLink();
  const directory = linked ? realpathSync(path) : path;
  const distrusted = distrust(account, linked ? chainTo(account, directory) : [path]);
  if (distrusted) throw new Disbelief(linked ? `${path}: it is a link, and ${distrusted}` : distrusted);
  return directory;
};

/** A directory inside a service directory; false where there is none. */
const hasOwnDirectory = (account: Account, path: string): boolean => {
  if (!isThere(path)) return false;
  const distrusted = distrust(account, [path]);
  if (distrusted) throw new Disbelief(distrusted);
  return true;
};

/** What an executable file of the account's is, for comparison; undefined where there is none. */
const programOf = (account: Account, path: string): string | undefined => {
  if (!isThere(path)) return undefined;
  const own = openOwn(path, account);
  if ("problem" in own) throw new Disbelief(`${path}: ${own.problem}`);
  const { fd, stats } = own;
  try {
    if ((stats.mode & 0o111) === 0) throw new Disbelief(`${path}: it is not executable; chmod +x it`);
    const facts = [stats.size, stats.mode];
    if (stats.size > COMPARED) return [...facts, stats.ino, stats.mtimeMs, stats.ctimeMs].join(" ");
    const bytes = Buffer.alloc(COMPARED);
    const length = readSync(fd, bytes, 0, COMPARED, 0);
    return [...facts, bytes.toString("latin1", 0, length)].join(" ");
  } finally {
    closeSync(fd);
  }
};

const textOf = (account: Account, path: string, largest: number): string | undefined => {
  if (!isThere(path)) return undefined;
  const result = readText(path, account, largest);
  if (typeof result === "string") throw new Disbelief(`${path}: ${result}`);
  return result.text;
};

const digest = (facts: readonly unknown[]): string =>
  createHash("sha256")
    .update(JSON.stringify(facts.map((fact) => fact ?? null)))
    .digest("base64");

/** What a service directory says; undefined where it has no `run`. Throws Disbelief. */
const readService = (account: Account, path: string, largest: number): ServiceContent | undefined => {
  if (!isThere(join(path, "run"))) return undefined;
  const directory = resolve(account, path);
  const resolved = realpathSync(directory);
  const run = programOf(account, join(directory, "run"));
  const logger = hasOwnDirectory(account, join(directory, "log"))
    ? programOf(account, join(directory, "log/run"))
    : undefined;
  const finish = programOf(account, join(directory, "finish"));
  const conf = textOf(account, join(directory, "conf"), largest);
  // Scripts of root's run as root, and change the account themselves.
  const asks = account.uid !== 0 && hasOwnDirectory(account, join(directory, "env"));
  const user = asks ? textOf(account, join(directory, "env/USER"), largest) : undefined;
  const down = isThere(join(directory, "down"));
  const contents = digest([run, logger, finish, user, down]);
  return {
    directory: path,
    resolved,
    conf,
    user,
    down,
    logger: logger !== undefined,
    finish: finish !== undefined,
    contents,
    fingerprint: digest([contents, conf, resolved]),
  };
};

const foundService = (account: Account, directory: string, name: string, largest: number): FoundService[] => {
  const path = join(directory, name);
  const found = { name, path: join(path, "run") };
  try {
    const content = ifThere(() => readService(account, path, largest));
    return content ? [{ ...found, content, problem: undefined }] : [];
  } catch (error) {
    const { message } = error as Error;
    return [{ ...found, content: undefined, problem: error instanceof Disbelief ? message : `${path}: ${message}` }];
  }
};

const candidates = (directory: string): { name: string; shown: string }[] =>
  entriesOf(directory, MOST_LISTED)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => ({ name: name.toString("latin1"), shown: escaped(name.toString("utf8")) }))
    .filter(({ name }) => !name.startsWith("."));

/**
 * Reads the service directories of an account in the last directory of `chain`; one without a `run` is none.
 * Never throws: what cannot be read is a problem. A directory that is not there holds nothing.
 */
export const readServiceDirectories = (
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  selection: Selection,
): ServiceDirectories => {
  const directory = chain.at(-1) ?? "/";
  try {
    return asUser(identity, () => readAsOwner(account, chain, directory, selection));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      return { directories: [], passedOver: [], problems: [], complete: true };
    const problem = `${directory}: ${error instanceof Error ? error.message : String(error)}`;
    return { directories: [], passedOver: [], problems: [problem], complete: false };
  }
};

const readAsOwner = (
  account: Account,
  chain: readonly string[],
  directory: string,
  { names, largest, most, first, only }: Selection,
): ServiceDirectories => {
  const distrusted = distrust(account, chain);
  if (distrusted) return { directories: [], passedOver: [], problems: [distrusted], complete: false };
  if (only !== undefined) {
    const directories = names.test(only) ? foundService(account, directory, only, largest) : [];
    return { directories, passedOver: [], problems: [], complete: true };
  }
  let entries: ReturnType<typeof candidates>;
  try {
    entries = candidates(directory);
  } catch (error) {
    if (!(error instanceof Overcrowded)) throw error;
    const known = [...(first ?? [])].sort().slice(0, Math.max(0, most));
    const directories = known.flatMap((name) => foundService(account, directory, name, largest));
    return { directories, passedOver: [], problems: [error.message], complete: false };
  }
  const problems = entries
    .filter(({ name }) => !names.test(name))
    .map(({ shown }) => `${directory}/${shown}: no name for a daemon; ${NAMING}`);
  const rank = (name: string): number => (first?.has(name) ? 0 : 1);
  const named = entries
    .filter(({ name }) => names.test(name))
    .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
  const directories: FoundService[] = [];
  let passedOver = named.slice(MOST_ENTRIES).map(({ name }) => name);
  for (const [index, { name }] of named.slice(0, MOST_ENTRIES).entries()) {
    const found = foundService(account, directory, name, largest);
    if (found.length > 0 && directories.length >= most) {
      problems.push(`${directory}: more than ${most} service directories beside conf files; the rest are not loaded`);
      passedOver = named.slice(index).map((entry) => entry.name);
      break;
    }
    directories.push(...found);
  }
  if (named.length > MOST_ENTRIES) {
    problems.push(`${directory}: ${named.length} directories, only the first ${MOST_ENTRIES} are looked at`);
  }
  return { directories, passedOver, problems, complete: true };
};

/** A script as text, or why it is not read. */
export type ScriptText = { readonly path: string } & (
  | { readonly text: string; readonly problem: undefined }
  | { readonly text: undefined; readonly problem: string }
);

/** The text of an account's program, where it is one that may be read (conf-dir.ts: readText). */
export const readScript = (account: Account, identity: FileIdentity, path: string, largest: number): ScriptText => {
  const result = asUser(identity, () => readText(path, account, largest));
  return typeof result === "string"
    ? { path, text: undefined, problem: result }
    : { path, text: result.text, problem: undefined };
};

/** The directories, below one that holds service directories, in which a change may concern a daemon. Never throws. */
export const serviceFolders = (identity: FileIdentity, directory: string): string[] => {
  try {
    return asUser(identity, () =>
      candidates(directory)
        .slice(0, MOST_WATCHED)
        .map(({ name }) => join(directory, name))
        .flatMap((path) => [path, join(path, "log"), join(path, "env")])
        .filter((path) => isThere(path)),
    );
  } catch {
    return [];
  }
};
