/** An image with this machine's php-cgi, perl and busybox, made without a registry. */
import { cpSync, mkdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { succeed } from "./appliance.ts";

const PROGRAMS = ["/usr/bin/php-cgi", "/usr/bin/perl", "/bin/busybox"];

/** Files that a program loads, by ldd(1). */
const librariesOf = async (program: string): Promise<string[]> => {
  const text = await succeed(process.env, "ldd", program).catch(() => "");
  return [...text.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path ?? "");
};

const copyInto = (root: string, path: string): void => {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  cpSync(realpathSync(path), join(root, path));
};

/** Imports it as `name`, with more files of this machine. @param directory for its files meanwhile */
export const importPhpImage = async (
  docker: (...args: string[]) => Promise<string>,
  name: string,
  directory: string,
  changes: readonly string[] = [],
): Promise<void> => {
  const root = join(directory, "php-image");
  rmSync(root, { recursive: true, force: true });
  for (const path of ["tmp", "etc", "proc", "sys", "dev"]) mkdirSync(join(root, path), { recursive: true });
  for (const program of PROGRAMS) {
    copyInto(root, program);
    for (const library of await librariesOf(program)) copyInto(root, library);
  }
  for (const tool of ["sh", "sleep", "echo", "cat", "id", "yes"]) symlinkSync("busybox", join(root, "bin", tool));
  const tar = join(directory, "php-image.tar");
  await succeed(process.env, "tar", "-C", root, "-cf", tar, ".");
  await docker("import", ...changes.flatMap((change) => ["--change", change]), tar, name);
  rmSync(root, { recursive: true, force: true });
  rmSync(tar);
};
