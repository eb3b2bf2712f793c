/** Locks a directory, so that two supervisors never run the same daemons. */
import { constants, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { lock } from "../kernel/file-calls.ts";

/** Another supervisor has locked a directory. */
export class DirectoryInUse extends Error {}

/**
 * Locks `directory` until this process ends.
 * @throws DirectoryInUse that names the process that holds the lock
 */
export const lockDirectory = (directory: string): void => {
  const path = join(directory, "supervisor.lock");
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    lock(fd);
  } catch {
    const holder = readFileSync(path, "utf8").trim();
    throw new DirectoryInUse(
      `${directory}: another supervisor (pid ${holder}) uses this directory; stop it, or choose another directory; ` +
        "in Docker, one container runs the supervisor: docker compose up --scale supervisor=1",
    );
  }
  try {
    writeSync(fd, `${process.pid}\n`.padEnd(12), 0);
  } catch {
    // A full disk: the lock is held, but cannot name this process.
  }
};
