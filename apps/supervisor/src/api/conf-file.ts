/** Reads and writes the text of conf files; a write does not overwrite a change that the writer has not seen. */
import { createHash } from "node:crypto";
import type { ConfFile, ConfFileDraft, ConfFileWritten, Explanation } from "@dmhost/contract";
import type { DaemonKey } from "../core/daemon-key.ts";
import { Refusal } from "./refusal.ts";
import type { ConfFileAccess, FoundText } from "./surroundings.ts";

const fingerprintOf = (text: string | undefined): string =>
  text === undefined ? "" : createHash("sha256").update(text).digest("base64");

const find = (files: ConfFileAccess, key: DaemonKey): FoundText => {
  const found = files.readConf(key);
  if (found.problem === undefined) return found;
  throw new Refusal("not-applicable", `${found.path}: ${found.problem}`);
};

/** The text of a conf file, or the template of a new one. */
export const readConfFile = (files: ConfFileAccess, key: DaemonKey): ConfFile => {
  const { path, text } = find(files, key);
  const fingerprint = fingerprintOf(text);
  return { path, text: text ?? files.newConf(`${key.owner.name}/${key.name}`), fingerprint };
};

const changedMeanwhile = (path: string): Refusal =>
  new Refusal("conflict", `${path} was changed meanwhile, so nothing was written`);

const write = (files: ConfFileAccess, key: DaemonKey, found: FoundText, text: string): void => {
  try {
    files.writeConf(key, text, found.text === undefined ? "make" : "replace");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "EEXIST") throw changedMeanwhile(found.path);
    // Node adds the path of a temporary file.
    const why = message.replace(/, \w+ '.*$/s, "");
    throw new Refusal("not-applicable", `${found.path} cannot be written by ${key.owner.name}: ${why}`);
  }
};

/** Checks a text and writes it as the owner. The caller then rescans. */
export const writeConfFile = (files: ConfFileAccess, key: DaemonKey, draft: ConfFileDraft): ConfFileWritten => {
  const found = find(files, key);
  if (fingerprintOf(found.text) !== draft.fingerprint) throw changedMeanwhile(found.path);
  const { errors, warnings } = files.checkConf(key, found.path, draft.text);
  if (errors.length > 0) throw new Refusal("invalid-file", "the file has errors and was not written", errors);
  write(files, key, found, draft.text);
  return { path: found.path, warnings: [...warnings], created: found.text === undefined };
};

const VARIABLE = /^export ./;

/** An explanation for a caller who may not read the conf file: values of variables may be passwords. */
export const withoutVariables = (explanation: Explanation): Explanation => ({
  ...explanation,
  settings: explanation.settings.map((setting) =>
    VARIABLE.test(setting.key) ? { ...setting, value: `(for ${explanation.daemon.owner} and root only)` } : setting,
  ),
});
