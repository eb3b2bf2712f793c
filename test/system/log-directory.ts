/** Reads log directories. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { argumentsOf, processesOf } from "./proc.ts";

/** Pid of the s6-log that writes to this directory as this account. */
export const loggerOf = (uid: number, directory: string): number | undefined =>
  processesOf(uid).find((pid) => {
    const [program, ...rest] = argumentsOf(pid);
    return program?.endsWith("s6-log") && rest.at(-1) === directory;
  });

/** Text of a log file, decompressed if need be. */
const textOf = (path: string): string => {
  const bytes = readFileSync(path);
  return (bytes.length > 1 && bytes.readUInt16BE() === 0x1f8b ? gunzipSync(bytes) : bytes).toString("latin1");
};

/** Names of the rotated files, oldest first. */
export const rotatedIn = (directory: string): string[] =>
  existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.startsWith("@"))
        .sort()
    : [];

/** All complete lines of all files, without their stamps. Reads again where a file is renamed meanwhile, up to 20 times. */
export const linesIn = (directory: string, tries = 20): string[] => {
  try {
    return [...rotatedIn(directory), "current"].flatMap((name) =>
      textOf(join(directory, name))
        .split("\n")
        .slice(0, -1)
        .map((line) => line.slice(26)),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tries === 1) throw error;
    return linesIn(directory, tries - 1);
  }
};
