/**
 * A tenant's directory of conf files, read with the tenant's authority and with nothing taken on trust
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
import type { Account } from "../../core/policy-rules.ts";
import { asUser } from "../accounts/as-user.ts";
import type { FileIdentity } from "../kernel/libc.ts";
import { entriesOf, Overcrowded } from "./entries.ts";
import { lineThatIsNotUtf8, readUtf8 } from "./utf8.ts";

const SUFFIX = ".conf";
/** Entries that a directory of daemons may have at most, for it to be read. */
export const MOST_LISTED = 10_000;

/** A file that was found: its text, or why it may not be read. */
export type ConfText = { readonly name: string; readonly path: string } & (
  | { readonly text: string; readonly problem: undefined }
  | { readonly text: undefined; readonly problem: string }
);

/** What a conf directory holds. */
export interface ConfDirectory {
  readonly files: readonly ConfText[];
  /** Names of those that are too many. */
  readonly passedOver: readonly string[];
  /** What could not be used at all, each `path: reason`. */
  readonly problems: readonly string[];
  /** Whether the directory itself was readable and to be trusted. */
  readonly complete: boolean;
}

/** Text of others made harmless for logs and terminals. */
export const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);

/** Why an account is not the only one, besides root, who may have made a file or directory what it is; undefined: it is. */
export const foreignWriters = (stats: Stats, account: Account): string | undefined => {
  if (stats.uid !== account.uid && stats.uid !== 0)
    return `belongs to uid ${stats.uid}, not to ${account.name}; chown it`;
  if ((stats.mode & 0o022) !== 0) {
    return `others than ${account.name} may write to it (mode ${(stats.mode & 0o7777).toString(8).padStart(4, "0")}); chmod go-w it`;
  }
  return undefined;
};

/** Why the last directory of `chain` cannot be trusted to hold only what the account, or root, put there. */
export const distrust = (account: Account, chain: readonly string[]): string | undefined => {
  for (const path of chain) {
    const stats = path === account.home ? statSync(path) : lstatSync(path);
    if (!stats.isDirectory()) return `${path}: not a directory (links are not followed)`;
    const writers = foreignWriters(stats, account);
    if (writers) return `${path}: ${writers}`;
  }
  return undefined;
};

/** Makes what is missing of a directory below the account's home, as the account, mode 0750, or `mode` for the last one. */
export const makeOwnDirectory = (account: Account, identity: FileIdentity, directory: string, mode = 0o750): void => {
  if (!directory.startsWith(`${account.home}/`)) return;
  asUser(identity, () => {
    if (lstatSync(directory, { throwIfNoEntry: false })) return;
    mkdirSync(dirname(directory), { recursive: true, mode: 0o750 });
    mkdirSync(directory, { mode });
  });
};

/** Opens a regular file of the account's own that nobody else may write. `asUser` is its caller's to say. */
export const openOwn = (path: string, account: Account): { fd: number; stats: Stats } | { problem: string } => {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return {
      problem: code === "ELOOP" ? "it is a symbolic link; put the file itself here" : `cannot be opened: ${code}`,
    };
  }
  const stats = fstatSync(fd);
  const problem = !stats.isFile()
    ? "it is not a regular file"
    : stats.uid !== account.uid
      ? `it belongs to uid ${stats.uid}, not to ${account.name}; chown it`
      : foreignWriters(stats, account);
  if (problem === undefined) return { fd, stats };
  closeSync(fd);
  return { problem };
};

/** The text of such a file, or why it is not read. */
export const readText = (path: string, account: Account, largest: number): string | { text: string } => {
  const own = openOwn(path, account);
  if ("problem" in own) return own.problem;
  const { fd, stats } = own;
  try {
    if (stats.nlink !== 1) return `it has ${stats.nlink} hard links; make a copy of its own`;
    if (stats.size > largest) return `it has ${stats.size} bytes, at most ${largest} are read`;
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

/** Where the conf file of a daemon is. */
export const confPath = (directory: string, name: string): string => join(directory, name + SUFFIX);

/** Whether a path is that of a conf file, by its name. */
export const isConfPath = (path: string): boolean => path.endsWith(SUFFIX);

/** Which files of a directory are read. */
export interface Selection {
  /** What the names of daemons look like. */
  readonly names: RegExp;
  /** Bytes of a file at most; larger ones are a problem. */
  readonly largest: number;
  /** Files that are read at most, unless only one is wanted; the rest are reported. */
  readonly most: number;
  /** Names that are read before others. */
  readonly first?: ReadonlySet<string>;
  /** The only one that is wanted, if one is. */
  readonly only?: string;
}

/**
 * Reads the conf files of an account in the last directory of `chain`, which is made if it is missing and below the home.
 * Never throws: what cannot be read is a problem. A directory that is not there holds nothing.
 */
export const readConfDirectory = (
  account: Account,
  identity: FileIdentity,
  chain: readonly string[],
  selection: Selection,
): ConfDirectory => {
  const directory = chain.at(-1) ?? "/";
  try {
    makeOwnDirectory(account, identity, directory);
    return asUser(identity, () => readAsOwner(account, chain, directory, selection));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return { files: [], passedOver: [], problems: [], complete: true };
    }
    const problem = `${directory}: ${error instanceof Error ? error.message : String(error)}`;
    return { files: [], passedOver: [], problems: [problem], complete: false };
  }
};

const readAsOwner = (
  account: Account,
  chain: readonly string[],
  directory: string,
  selection: Selection,
): ConfDirectory => {
  const distrusted = distrust(account, chain);
  if (distrusted) return { files: [], passedOver: [], problems: [distrusted], complete: false };
  const read = (file: string) => readEntry(directory, file, account, selection.largest);
  const readKnown = (names: readonly string[]): ConfText[] =>
    names
      .filter((name) => selection.names.test(name) && lstatSync(confPath(directory, name), { throwIfNoEntry: false }))
      .map((name) => read(name + SUFFIX));
  if (selection.only !== undefined)
    return { files: readKnown([selection.only]), passedOver: [], problems: [], complete: true };
  let entries: ReturnType<typeof entriesOf>;
  try {
    entries = entriesOf(directory, MOST_LISTED);
  } catch (error) {
    if (!(error instanceof Overcrowded)) throw error;
    const files = readKnown([...(selection.first ?? [])].sort().slice(0, selection.most));
    return { files, passedOver: [], problems: [error.message], complete: false };
  }
  const found = entries
    .map(({ name }) => ({ file: name.toString("latin1"), shown: escaped(name.toString("utf8")) }))
    .filter(({ file }) => file.endsWith(SUFFIX) && !file.startsWith("."));
  const isNamed = ({ file }: { file: string }) => selection.names.test(nameOf(file));
  const problems = found
    .filter((entry) => !isNamed(entry))
    .map(
      ({ shown }) =>
        `${directory}/${shown}: no name for a daemon; use at most 64 of A-Z a-z 0-9 _ . - and begin with a letter or digit`,
    );
  const named = found.filter(isNamed).map(({ file }) => file);
  const rank = (file: string): number => (selection.first?.has(nameOf(file)) ? 0 : 1);
  const files = named.sort().sort((a, b) => rank(a) - rank(b));
  if (files.length > selection.most) {
    problems.push(`${directory}: ${files.length} conf files, only ${selection.most} are loaded`);
  }
  return {
    files: files.slice(0, selection.most).sort().map(read),
    passedOver: files.slice(selection.most).map(nameOf),
    problems,
    complete: true,
  };
};
