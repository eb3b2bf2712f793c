/**
 * Executes the program that is on disk now, in this process. Never returns.
 * @throws errno errors; nothing has changed then
 */
export const reExec = (): never => {
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(process.execPath, argv, process.env);
  throw new Error("this version of Node has no process.execve");
};
