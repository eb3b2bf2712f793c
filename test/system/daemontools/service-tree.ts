/** Writes service directories. */
import { chmodSync, chownSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Owner of the files that are made; root by default. */
interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const ROOT: Owner = { uid: 0, gid: 0 };

/** Makes a directory and its missing parents. */
const makeDirectory = (path: string, owner: Owner): void => {
  const first = mkdirSync(path, { recursive: true, mode: 0o755 });
  for (let at = path; first !== undefined && at.length >= first.length; at = dirname(at)) {
    chownSync(at, owner.uid, owner.gid);
    chmodSync(at, 0o755);
  }
};

/**
 * Writes a service directory: text by path within it. A text that begins with `#!` is executable, `-> TARGET` is a link.
 * Returns the directory.
 */
export const writeService = (
  directory: string,
  files: Readonly<Record<string, string>>,
  owner: Owner = ROOT,
): string => {
  makeDirectory(directory, owner);
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    makeDirectory(dirname(path), owner);
    if (text.startsWith("-> ")) {
      symlinkSync(text.slice(3), path);
      lchownSync(path, owner.uid, owner.gid);
      continue;
    }
    writeFileSync(path, text);
    chownSync(path, owner.uid, owner.gid);
    chmodSync(path, text.startsWith("#!") ? 0o755 : 0o644);
  }
  return directory;
};
