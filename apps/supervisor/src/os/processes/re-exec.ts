import { closeSync, fstatSync, readSync } from "node:fs";

const INHERITED = "DMHOST_INHERITED_SOCKETS";

/**
 * Closes the listening sockets that release 0.1.0 left to the program that it executed: the shim makes others. The variable is the
 * descriptor of a file with pairs of a path and a descriptor, as JSON.
 */
export const closeInherited = (): void => {
  const { [INHERITED]: file } = process.env;
  delete process.env[INHERITED];
  if (file === undefined || !/^\d+$/.test(file)) return;
  const text = Buffer.alloc(fstatSync(Number(file)).size);
  readSync(Number(file), text, 0, text.length, 0);
  for (const [, fd] of JSON.parse(text.toString()) as readonly (readonly [string, number])[]) closeSync(fd);
  closeSync(Number(file));
};

/**
 * Executes the program that is on disk now, in this process. Never returns.
 * @throws errno errors; nothing has changed then
 */
export const reExec = (): never => {
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(process.execPath, argv, process.env);
  throw new Error("this version of Node has no process.execve");
};
