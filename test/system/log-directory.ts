/** What lies in a log directory, as a test counts it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { argumentsOf, processesOf } from "./proc.ts";

/** The s6-log that writes to this directory, as whom it has to. */
export const loggerOf = (uid: number, directory: string): number | undefined =>
  processesOf(uid).find((pid) => {
    const [program, ...rest] = argumentsOf(pid);
    return program?.endsWith("s6-log") && rest.at(-1) === directory;
  });

/** A file of a log as it was written, whether it has been compressed or not. */
const textOf = (path: string): string => {
  const bytes = readFileSync(path);
  return (bytes.length > 1 && bytes.readUInt16BE() === 0x1f8b ? gunzipSync(bytes) : bytes).toString("latin1");
};

/** Names of its rotated files, the oldest first. */
export const rotatedIn = (directory: string): string[] =>
  existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => name.startsWith("@"))
        .sort()
    : [];

/** All lines of all files, without their stamps; what was cut off by the death of a logger is no line. */
export const linesIn = (directory: string): string[] =>
  [...rotatedIn(directory), "current"].flatMap((name) =>
    textOf(join(directory, name))
      .split("\n")
      .slice(0, -1)
      .map((line) => line.slice(26)),
  );
