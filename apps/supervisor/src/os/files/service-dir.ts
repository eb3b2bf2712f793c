/**
 * Lists the service directories of an owner, as the owner (man/daemon.conf.5.md#service-directories). Files that other
 * accounts may have written are refused.
 */
import { join } from "node:path";
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import {
  escaped,
  type FileFilter,
  MISNAMED,
  MOST_LISTED,
  type OwnDirectory,
  readOwnDirectory,
  readText,
} from "./conf-dir.ts";
import { entriesOf } from "./entries.ts";
import { type FoundService, foundService, isThere } from "./service-content.ts";

/** Entries that are examined at most, with a `run` or without. */
export const MOST_ENTRIES = 4096;
/** Service directories of one owner that are watched at most. */
const MOST_WATCHED = 256;

const candidates = (directory: string): { name: string; shown: string }[] =>
  entriesOf(directory, MOST_LISTED)
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => ({ name: name.toString("latin1"), shown: escaped(name.toString("utf8")) }))
    .filter(({ name }) => !name.startsWith("."));

/** Reads the service directories of an account in the last directory of `chain`; a directory without `run` is none. */
export const readServiceDirectories = (
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  selection: FileFilter,
): OwnDirectory<FoundService> => {
  const { names, largest, most, first } = selection;
  const one = (directory: string, name: string) =>
    names.test(name) ? foundService(account, directory, name, largest) : [];
  const all = (directory: string): OwnDirectory<FoundService> => {
    const entries = candidates(directory);
    const problems = entries
      .filter(({ name }) => !names.test(name))
      .map(({ shown }) => `${directory}/${shown}: ${MISNAMED}`);
    const rank = (name: string): number => (first?.has(name) ? 0 : 1);
    const named = entries
      .filter(({ name }) => names.test(name))
      .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
    const found: FoundService[] = [];
    let skipped = named.slice(MOST_ENTRIES).map(({ name }) => name);
    for (const [index, { name }] of named.slice(0, MOST_ENTRIES).entries()) {
      const service = one(directory, name);
      if (service.length > 0 && found.length >= most) {
        problems.push(`${directory}: more than ${most} service directories beside conf files; the rest are not loaded`);
        skipped = named.slice(index).map((entry) => entry.name);
        break;
      }
      found.push(...service);
    }
    if (named.length > MOST_ENTRIES) {
      problems.push(`${directory}: ${named.length} directories, only the first ${MOST_ENTRIES} are read`);
    }
    return { found, skipped, problems, complete: true };
  };
  return readOwnDirectory(account, identity, chain, selection, { makes: false, one, all });
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
