/**
 * What one service directory holds (man/daemon.conf.5.md#service-directories). Files that other accounts than the owner and
 * root may have written are refused. The caller acts as the owner.
 */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, readSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { ServiceText } from "../../core/definition.ts";
import { messageOf } from "../../core/error-message.ts";
import type { Account } from "../../core/policy-rules.ts";
import { codeOf } from "../kernel/error-code.ts";
import { distrust, openOwn, readText } from "./conf-dir.ts";

/** The content of a service directory. */
interface ServiceContent extends ServiceText {
  /** Equal for equal `run`, `log/run`, `finish`, `conf`, `env/USER` and presence of `down`, in the same directory. */
  readonly fingerprint: string;
}

/** A directory with a `run`: its content, or why it is refused, `path: reason`. */
export type FoundService = { readonly name: string; readonly path: string } & (
  | { readonly content: ServiceContent; readonly problem: undefined }
  | { readonly content: undefined; readonly problem: string }
);

/** Bytes of a program that are compared; a longer one has changed when its size, times or inode have. */
const COMPARED = 65_536;
/** Why a directory is refused; its message begins with the path. */
class Refusal extends Error {}

/** Result of `work`; undefined where it meets a missing file. */
const ifThere = <T>(work: () => T): T | undefined => {
  try {
    return work();
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return undefined;
    throw error;
  }
};

export const isThere = (path: string): boolean => ifThere(() => lstatSync(path)) !== undefined;

/** The directories from the account's home, or else from `/`, down to a path without links. */
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
 * The directory of an entry. Follows a link, as svscan does; all directories on the way must belong to the owner or root
 * and be writable by no other account.
 */
const resolve = (account: Account, path: string): string => {
  const linked = lstatSync(path).isSymbolicLink();
  const directory = linked ? realpathSync(path) : path;
  const distrusted = distrust(account, linked ? chainTo(account, directory) : [path]);
  if (distrusted) throw new Refusal(linked ? `${path}: it is a link, and ${distrusted}` : distrusted);
  return directory;
};

/** Whether a service directory has this directory. @throws Refusal */
const hasOwnDirectory = (account: Account, path: string): boolean => {
  if (!isThere(path)) return false;
  const distrusted = distrust(account, [path]);
  if (distrusted) throw new Refusal(distrusted);
  return true;
};

/** Text that changes when an executable of the account changes; undefined where there is none. @throws Refusal */
const programOf = (account: Account, path: string): string | undefined => {
  if (!isThere(path)) return undefined;
  const own = openOwn(path, account);
  if ("problem" in own) throw new Refusal(`${path}: ${own.problem}`);
  const { fd, stats } = own;
  try {
    if ((stats.mode & 0o111) === 0) throw new Refusal(`${path}: it is not executable; chmod +x it`);
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
  if (typeof result === "string") throw new Refusal(`${path}: ${result}`);
  return result.text;
};

const digest = (facts: readonly unknown[]): string =>
  createHash("sha256")
    .update(JSON.stringify(facts.map((fact) => fact ?? null)))
    .digest("base64");

/** The content of a service directory; undefined where it has no `run`. @throws Refusal */
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
  // Scripts of root run as root and change the account themselves.
  const hasEnv = account.uid !== 0 && hasOwnDirectory(account, join(directory, "env"));
  const user = hasEnv ? textOf(account, join(directory, "env/USER"), largest) : undefined;
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

export const foundService = (account: Account, directory: string, name: string, largest: number): FoundService[] => {
  const path = join(directory, name);
  const found = { name, path: join(path, "run") };
  try {
    const content = ifThere(() => readService(account, path, largest));
    return content ? [{ ...found, content, problem: undefined }] : [];
  } catch (error) {
    const message = messageOf(error);
    return [{ ...found, content: undefined, problem: error instanceof Refusal ? message : `${path}: ${message}` }];
  }
};
