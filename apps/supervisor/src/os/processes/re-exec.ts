/** Re-exec: the supervisor replaces its program and keeps its pid and its held sockets. */
import { closeSync, fstatSync, readSync, writeFileSync } from "node:fs";
import { closeOnExec, keepOnExec, memoryFile } from "../kernel/descriptors.ts";

/**
 * Environment variable with the descriptor of a file that lists the sockets: a variable has at most 128 KiB, the list may
 * have more.
 */
const INHERITED = "DMHOST_INHERITED_SOCKETS";

/** The sockets that re-exec kept open in this process: descriptors by paths. */
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
 * Executes the program that is on disk now, in this process, and keeps these sockets open. Never returns.
 * @throws errno errors; nothing has changed then
 */
export const reExec = (sockets: ReadonlyMap<string, number>): never => {
  const file = memoryFile("sockets");
  try {
    writeFileSync(file, JSON.stringify([...sockets]));
    for (const fd of [file, ...sockets.values()]) keepOnExec(fd);
    const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    process.execve?.(process.execPath, argv, { ...process.env, [INHERITED]: String(file) });
    throw new Error("this version of Node has no process.execve");
  } catch (error) {
    closeSync(file);
    closeOnExec();
    throw error;
  }
};
