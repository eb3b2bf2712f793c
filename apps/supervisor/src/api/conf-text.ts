/** A daemon's file as text, for those who may write it: copied out, and taken back if nobody else has changed it. */
import { createHash } from "node:crypto";
import type { ConfFile, ConfFileWritten, Explanation } from "@dmhost/contract";
import type { Daemon } from "../engine/daemon.ts";
import type { Supervisor } from "../engine/supervisor.ts";
import { type Caller, mayWrite, requireAuthor, resolve } from "./access.ts";
import { Refusal } from "./problem.ts";

/** Whose file it is, by the account as it is now, and of which daemon, which need not exist. */
export type ConfKey = Daemon["key"];

/** What is found at the place of a file: its text, or why it cannot be used; neither where there is none. */
export interface FoundText {
  readonly path: string;
  readonly text: string | undefined;
  readonly problem: string | undefined;
}

/** Files of tenants, touched with their authority alone. */
export interface ConfSurroundings {
  readConf(key: ConfKey): FoundText;
  /** What is wrong with a text, each `path:line: text`. */
  checkConf(
    key: ConfKey,
    path: string,
    text: string,
  ): { readonly errors: readonly string[]; readonly warnings: readonly string[] };
  /** Makes the file, or replaces the one that there is; errno errors, EEXIST where one is to be made that there is. */
  writeConf(key: ConfKey, text: string, what: "make" | "replace"): void;
  /** What a file that does not exist begins as. */
  newConf(id: string): string;
}

const fingerprintOf = (text: string | undefined): string =>
  text === undefined ? "" : createHash("sha256").update(text).digest("base64");

/**
 * The file that an address means to this caller: that of a daemon, which they must own, or one that there is not yet: of
 * their own, or, for root and by its full id, of any owner's.
 * @throws Refusal as `resolve` and `requireAuthor` do; of what others have, it tells no more than they
 */
const keyOf = (supervisor: Supervisor, caller: Caller, address: string): ConfKey => {
  const [name = "", ownerName = caller.user] = address.split("/").reverse();
  const known = ((): Daemon | undefined => {
    try {
      return resolve(supervisor, caller, address);
    } catch (error) {
      const { code } = error as Refusal;
      if (code !== "not-found" || !mayWrite(supervisor, caller, ownerName) || !supervisor.owner(ownerName)) throw error;
      return undefined;
    }
  })();
  if (!known) return { name, owner: supervisor.owner(ownerName) as ConfKey["owner"] };
  requireAuthor(supervisor, caller, known);
  // Not the account that it was loaded with, whose uid may be somebody else's by now.
  const owner = supervisor.owner(known.key.owner.name);
  if (owner) return { name: known.key.name, owner };
  throw new Refusal("not-applicable", `${known.key.owner.name} is not in [runs_as], so no file of theirs is read.`);
};

const find = (about: ConfSurroundings, key: ConfKey): FoundText => {
  const found = about.readConf(key);
  if (found.problem === undefined) return found;
  throw new Refusal("not-applicable", `${found.path}: ${found.problem}`);
};

/** The text of a daemon's file, or what a new one begins as. */
export const copyOut = (supervisor: Supervisor, about: ConfSurroundings, caller: Caller, address: string): ConfFile => {
  const key = keyOf(supervisor, caller, address);
  const { path, text } = find(about, key);
  const fingerprint = fingerprintOf(text);
  return { path, text: text ?? about.newConf(`${key.owner.name}/${key.name}`), fingerprint };
};

const changedMeanwhile = (path: string): Refusal =>
  new Refusal("conflict", `${path} was changed meanwhile by somebody else, so nothing was written.`);

const write = (about: ConfSurroundings, key: ConfKey, found: FoundText, text: string): void => {
  try {
    about.writeConf(key, text, found.text === undefined ? "make" : "replace");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "EEXIST") throw changedMeanwhile(found.path);
    // What Node adds is the place of a passing file.
    const why = message.replace(/, \w+ '.*$/s, "");
    throw new Refusal("not-applicable", `${found.path} cannot be written by ${key.owner.name}: ${why}`);
  }
};

/** Takes a text back: checks it, writes it as the owner, and has the supervisor look at it. */
export const takeBack = (
  supervisor: Supervisor,
  about: ConfSurroundings,
  caller: Caller,
  address: string,
  draft: Pick<ConfFile, "text" | "fingerprint">,
): ConfFileWritten => {
  const key = keyOf(supervisor, caller, address);
  const found = find(about, key);
  if (fingerprintOf(found.text) !== draft.fingerprint) throw changedMeanwhile(found.path);
  const { errors, warnings } = about.checkConf(key, found.path, draft.text);
  if (errors.length > 0) throw new Refusal("invalid-file", "The file is wrong, and was not written.", errors);
  write(about, key, found, draft.text);
  supervisor.rescan([key.owner.name]);
  return { path: found.path, warnings: [...warnings], made: found.text === undefined };
};

const VARIABLE = /^export ./;

/** An explanation as one who may not read the file gets it: values of variables may be passwords. */
export const veiled = (explanation: Explanation): Explanation => ({
  ...explanation,
  settings: explanation.settings.map((setting) =>
    VARIABLE.test(setting.key) ? { ...setting, value: `(for ${explanation.daemon.owner} and root to see)` } : setting,
  ),
});
