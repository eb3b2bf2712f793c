/** What a program hands to the one that takes its place in its process. */
import { closeSync, fstatSync, readSync, writeFileSync } from "node:fs";
import { closeOnExec, keepOnExec, memoryFile } from "../kernel/descriptors.ts";

/** Environment variable with the descriptor of a file that names them: one string may have 128 KiB, and they may be more. */
const INHERITED = "DMHOST_INHERITED_SOCKETS";

/** The sockets that the program before this one has left in this process: their paths and descriptors. */
export const takeInherited = (): Map<string, number> => {
  const file = process.env[INHERITED];
  delete process.env[INHERITED];
  if (file === undefined) return new Map();
  const fd = Number(file);
  const text = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, text, 0, text.length, 0);
  closeSync(fd);
  return new Map(JSON.parse(text.toString()));
};

/**
 * Begins this process's program anew, as it is on disk now, with these sockets. Returns only by an exception.
 * @throws errno errors: then all is as it was before
 */
export const reExec = (sockets: ReadonlyMap<string, number>): never => {
  const file = memoryFile("sockets");
  try {
    writeFileSync(file, JSON.stringify([...sockets]));
    for (const fd of [file, ...sockets.values()]) keepOnExec(fd);
    const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    process.execve?.(process.execPath, argv, { ...process.env, [INHERITED]: String(file) });
    throw new Error("this runtime cannot do that");
  } catch (error) {
    closeSync(file);
    closeOnExec();
    throw error;
  }
};
