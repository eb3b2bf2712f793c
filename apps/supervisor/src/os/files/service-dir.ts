/**
 * Lists the service directories of an owner, as the owner (man/daemon.conf.5.md#service-directories). Files that other
 * accounts may have written are refused.
 */
import { join } from "node:path";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { distrust, escaped, type FileFilter, MOST_LISTED, readText } from "./conf-dir.ts";
import { entriesOf, Overcrowded } from "./entries.ts";
import { type FoundService, foundService, isThere } from "./service-content.ts";

/** A directory of service directories. */
export interface ServiceDirectories {
  readonly directories: readonly FoundService[];
  /** Entries that could not be used, each `path: reason`. */
  readonly problems: readonly string[];
  /** Names of entries beyond the limits. */
  readonly skipped: readonly string[];
  /** Whether the directory was readable and only its owner and root may write to it. */
  readonly complete: boolean;
}

/** Entries that are examined at most, with a `run` or without. */
export const MOST_ENTRIES = 4096;
/** Service directories of one owner that are watched at most. */
const MOST_WATCHED = 256;
const NAMING = "use at most 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit";

const candidates = (directory: string): { name: string; shown: string }[] =>
  entriesOf(directory, MOST_LISTED)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => ({ name: name.toString("latin1"), shown: escaped(name.toString("utf8")) }))
    .filter(({ name }) => !name.startsWith("."));

/**
 * Reads the service directories of an account in the last directory of `chain`; a directory without `run` is none.
 * Never throws: unreadable entries become problems. A missing directory has no entries.
 */
export const readServiceDirectories = (
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  selection: FileFilter,
): ServiceDirectories => {
  const directory = chain.at(-1) ?? "/";
  try {
    return asUser(identity, () => readAsOwner(account, chain, directory, selection));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { directories: [], skipped: [], problems: [], complete: true };
    const problem = `${directory}: ${messageOf(error)}`;
    return { directories: [], skipped: [], problems: [problem], complete: false };
  }
};

const readAsOwner = (
  account: Account,
  chain: readonly string[],
  directory: string,
  { names, largest, most, first, only }: FileFilter,
): ServiceDirectories => {
  const distrusted = distrust(account, chain);
  if (distrusted) return { directories: [], skipped: [], problems: [distrusted], complete: false };
  if (only !== undefined) {
    const directories = names.test(only) ? foundService(account, directory, only, largest) : [];
    return { directories, skipped: [], problems: [], complete: true };
  }
  let entries: ReturnType<typeof candidates>;
  try {
    entries = candidates(directory);
  } catch (error) {
    if (!(error instanceof Overcrowded)) throw error;
    const known = [...(first ?? [])].sort().slice(0, Math.max(0, most));
    const directories = known.flatMap((name) => foundService(account, directory, name, largest));
    return { directories, skipped: [], problems: [error.message], complete: false };
  }
  const problems = entries
    .filter(({ name }) => !names.test(name))
    .map(({ shown }) => `${directory}/${shown}: a daemon cannot have this name; ${NAMING}`);
  const rank = (name: string): number => (first?.has(name) ? 0 : 1);
  const named = entries
    .filter(({ name }) => names.test(name))
    .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
  const directories: FoundService[] = [];
  let skipped = named.slice(MOST_ENTRIES).map(({ name }) => name);
  for (const [index, { name }] of named.slice(0, MOST_ENTRIES).entries()) {
    const found = foundService(account, directory, name, largest);
    if (found.length > 0 && directories.length >= most) {
      problems.push(`${directory}: more than ${most} service directories beside conf files; the rest are not loaded`);
      skipped = named.slice(index).map((entry) => entry.name);
      break;
    }
    directories.push(...found);
  }
  if (named.length > MOST_ENTRIES) {
    problems.push(`${directory}: ${named.length} directories, only the first ${MOST_ENTRIES} are read`);
  }
  return { directories, skipped, problems, complete: true };
};

/** The text of a script, or why it cannot be read. */
export type ScriptText = { readonly path: string } & (
  | { readonly text: string; readonly problem: undefined }
  | { readonly text: undefined; readonly problem: string }
);

/** Reads an account's script, as the account (conf-dir.ts: readText). */
export const readScript = (account: Account, identity: FileIdentity, path: string, largest: number): ScriptText => {
  const result = asUser(identity, () => readText(path, account, largest));
  return typeof result === "string"
    ? { path, text: undefined, problem: result }
    : { path, text: result.text, problem: undefined };
};

/** The directories below one of service directories in which a change may affect a daemon. Never throws. */
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
