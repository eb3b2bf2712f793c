/**
 * Reads a tenant's directory of conf files as the tenant, and checks who may have written each file
 * (docs/explanation/security.md#2).
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import { writeSize } from "../../core/units.ts";
import { asUser } from "../accounts/as-user.ts";
import { codeOf } from "../kernel/error-code.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { entriesOf, Overcrowded } from "./entries.ts";
import { lineThatIsNotUtf8, readUtf8 } from "./utf8.ts";

const SUFFIX = ".conf";
/** A directory with more entries is not read. */
export const MOST_LISTED = 10_000;

/** The text of a conf file, or why it cannot be read. */
export type ConfText = { readonly name: string; readonly path: string } & (
  | { readonly text: string; readonly problem: undefined }
  | { readonly text: undefined; readonly problem: string }
);

/** What a directory of an account holds. */
export interface OwnDirectory<T> {
  readonly found: readonly T[];
  /** Names of entries beyond the limits. */
  readonly skipped: readonly string[];
  /** Entries that could not be used, each `path: reason`. */
  readonly problems: readonly string[];
  /** Whether the directory was readable and only its owner and root may write to it. */
  readonly complete: boolean;
}

/** Why an entry is passed over. */
export const MISNAMED =
  "a daemon cannot have this name; use at most 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit";

/** A tenant's text, escaped for logs and terminals. */
export const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);

/** A path as one word of a shell's command line. */
const shellWord = (path: string): string =>
  /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;

/**
 * Why accounts other than this one and root could have written a file or directory; undefined where they could not. A
 * private group counts too: the kernel does not know its members, and a process keeps a group that it has left.
 */
const foreignWriters = (path: string, stats: Stats, account: Account): string | undefined => {
  if (stats.uid !== account.uid && stats.uid !== 0)
    return `belongs to uid ${stats.uid}, not to ${account.name}; chown it`;
  if ((stats.mode & 0o022) !== 0) {
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, "0");
    return `accounts other than ${account.name} may write to it (mode ${mode}); run: chmod go-w ${shellWord(path)}`;
  }
  return undefined;
};

/** Why other accounts may have put files into the last directory of `chain`; undefined where only the account and root may. */
export const distrust = (account: Account, chain: readonly string[]): string | undefined => {
  for (const path of chain) {
    const stats = path === account.home ? statSync(path) : lstatSync(path);
    if (!stats.isDirectory()) return `${path}: not a directory (links are not followed)`;
    const writers = foreignWriters(path, stats, account);
    if (writers) return `${path}: ${writers}`;
  }
  return undefined;
};

/** Makes the missing directories of a path below the account's home, as the account; mode 0750, for the last one `mode`. */
export const makeOwnDirectory = (account: Account, identity: FileIdentity, directory: string, mode = 0o750): void => {
  if (!directory.startsWith(`${account.home}/`)) return;
  asUser(identity, () => {
    if (lstatSync(directory, { throwIfNoEntry: false })) return;
    mkdirSync(dirname(directory), { recursive: true, mode: 0o750 });
    mkdirSync(directory, { mode });
  });
};

/** Opens a regular file that belongs to the account and that no other may write. The caller acts as the account. */
export const openOwn = (path: string, account: Account): { fd: number; stats: Stats } | { problem: string } => {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const code = codeOf(error);
    return {
      problem: code === "ELOOP" ? "it is a symbolic link; put the file itself here" : `cannot be opened: ${code}`,
    };
  }
  const stats = fstatSync(fd);
  const problem = !stats.isFile()
    ? "it is not a regular file"
    : stats.uid !== account.uid
      ? `it belongs to uid ${stats.uid}, not to ${account.name}; chown it`
      : foreignWriters(path, stats, account);
  if (problem === undefined) return { fd, stats };
  closeSync(fd);
  return { problem };
};

/** The text of such a file, or why it cannot be read. */
export const readText = (path: string, account: Account, largest: number): string | { text: string } => {
  const own = openOwn(path, account);
  if ("problem" in own) return own.problem;
  const { fd, stats } = own;
  try {
    if (stats.nlink !== 1) return `it has ${stats.nlink} hard links; replace it by a copy`;
    if (stats.size > largest) return `it has ${writeSize(stats.size)}, at most ${writeSize(largest)} are read`;
    const bytes = Buffer.alloc(stats.size + 1);
    let length = 0;
    for (let more = -1; more !== 0 && length < bytes.length; length += more) {
      more = readSync(fd, bytes, length, bytes.length - length, length);
    }
    const content = bytes.subarray(0, length);
    const text = readUtf8(content);
    return text === undefined ? `its line ${lineThatIsNotUtf8(content)} is not UTF-8 text` : { text };
  } finally {
    closeSync(fd);
  }
};

const nameOf = (file: string): string => file.slice(0, -SUFFIX.length);

const readEntry = (directory: string, file: string, account: Account, largest: number): ConfText => {
  const path = join(directory, file);
  const name = nameOf(file);
  const result = readText(path, account, largest);
  return typeof result === "object"
    ? { name, path, text: result.text, problem: undefined }
    : { name, path, text: undefined, problem: result };
};

/** Path of a daemon's conf file. */
export const confPath = (directory: string, name: string): string => join(directory, name + SUFFIX);

/** Whether a path has the name of a conf file. */
export const isConfPath = (path: string): boolean => path.endsWith(SUFFIX);

/** Which files of a directory are read. */
export interface FileFilter {
  /** Pattern of daemons' names. */
  readonly names: RegExp;
  /** Bytes of a file at most; a larger one is a problem. */
  readonly largest: number;
  /** Files that are read at most; the rest are problems. */
  readonly most: number;
  /** Names that are read before others. */
  readonly first?: ReadonlySet<string>;
  /** Reads only this name. */
  readonly only?: string;
}

/** How a directory of an account is read. */
interface Reading<T> {
  /** Whether it is made where it is missing and below the home. */
  readonly makes: boolean;
  /** Reads an entry by its name. */
  readonly one: (directory: string, name: string) => readonly T[];
  readonly all: (directory: string) => OwnDirectory<T>;
}

/**
 * Reads the last directory of `chain` as the account. Never throws: what cannot be read is a problem. A missing directory
 * holds nothing.
 */
export const readOwnDirectory = <T>(
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  { first = new Set(), only, most }: Pick<FileFilter, "first" | "only" | "most">,
  { makes, one, all }: Reading<T>,
): OwnDirectory<T> => {
  const directory = chain.at(-1) ?? "/";
  const some = (names: readonly string[], complete: boolean, ...problems: string[]): OwnDirectory<T> => {
    return { found: names.flatMap((name) => one(directory, name)), skipped: [], problems, complete };
  };
  try {
    if (makes) makeOwnDirectory(account, identity, directory);
    return asUser(identity, () => {
      const distrusted = distrust(account, chain);
      if (distrusted) return some([], false, distrusted);
      if (only !== undefined) return some([only], true);
      try {
        return all(directory);
      } catch (error) {
        if (!(error instanceof Overcrowded)) throw error;
        return some([...first].sort().slice(0, Math.max(0, most)), false, error.message);
      }
    });
  } catch (error) {
    return codeOf(error) === "ENOENT" ? some([], true) : some([], false, `${directory}: ${messageOf(error)}`);
  }
};

/** Reads the conf files of an account in the last directory of `chain`; makes that where it is missing and below the home. */
export const readConfDirectory = (
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  selection: FileFilter,
): OwnDirectory<ConfText> => {
  const read = (directory: string, file: string) => readEntry(directory, file, account, selection.largest);
  const one = (directory: string, name: string): ConfText[] =>
    selection.names.test(name) && lstatSync(confPath(directory, name), { throwIfNoEntry: false })
      ? [read(directory, name + SUFFIX)]
      : [];
  const all = (directory: string): OwnDirectory<ConfText> => {
    const found = entriesOf(directory, MOST_LISTED)
      .map(({ name }) => ({ file: name.toString("latin1"), shown: escaped(name.toString("utf8")) }))
      .filter(({ file }) => file.endsWith(SUFFIX) && !file.startsWith("."));
    const isNamed = ({ file }: { file: string }) => selection.names.test(nameOf(file));
    const problems = found.filter((entry) => !isNamed(entry)).map(({ shown }) => `${directory}/${shown}: ${MISNAMED}`);
    const named = found.filter(isNamed).map(({ file }) => file);
    const rank = (file: string): number => (selection.first?.has(nameOf(file)) ? 0 : 1);
    const files = named.sort().sort((a, b) => rank(a) - rank(b));
    if (files.length > selection.most) {
      problems.push(`${directory}: ${files.length} conf files, only ${selection.most} are loaded`);
    }
    return {
      found: files
        .slice(0, selection.most)
        .sort()
        .map((file) => read(directory, file)),
      skipped: files.slice(selection.most).map(nameOf),
      problems,
      complete: true,
    };
  };
  return readOwnDirectory(account, identity, chain, selection, { makes: true, one, all });
};
