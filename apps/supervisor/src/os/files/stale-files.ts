/**
 * Removes the stale files of an account by a program that runs as the account, so that links among them, their depth and
 * their number cannot harm the supervisor.
 */
import { spawn } from "node:child_process";
import { rmdirSync } from "node:fs";
import { closeOnExec } from "../kernel/descriptors.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";

/** Time limit of one removal. In ms. */
const LONGEST = 60_000;

/** At the second try it restores permissions that the account has taken from its directories. */
const REMOVE = 'rm -rf -- "$1" || { chmod -R u+rwX -- "$1"; rm -rf -- "$1"; }';

/** The last removal of each account, by uid: removals of an account execute one after another. */
const queues = new Map<number, Promise<void>>();

/**
 * Starts to remove a directory, which only the supervisor can rename, with all that is in it. Leaves what cannot be removed
 * within a minute.
 * @param done called at the end
 */
export const removeStaleFiles = (directory: string, { uid, gid }: FileIdentity, done: () => void): void => {
  const before = queues.get(uid) ?? Promise.resolve();
  const after = before.then(async () => {
    await remove(directory, uid, gid);
    try {
      rmdirSync(directory);
    } catch {
      // The account keeps files in it; they count towards its limit (bind-directory.ts: MOST_LEFT).
    }
    if (queues.get(uid) === after) queues.delete(uid);
    done();
  });
  queues.set(uid, after);
};

const remove = (directory: string, uid: number, gid: number): Promise<void> =>
  new Promise((resolve) => {
    const become = ["/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"];
    const [file = "", ...args] = [
      ...(privileged ? [...become, "--inh-caps=-all", "--bounding-set=-all", "--"] : []),
      ...["/usr/bin/nice", "-n19", "/bin/sh", "-c", REMOVE, "sh", directory],
    ];
    closeOnExec();
    const child = spawn(file, args, { cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdio: "ignore", detached: true });
    const limit = setTimeout(() => {
      // It is not reaped yet, so the number of its group is still its own.
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, LONGEST);
    const finished = (): void => {
      clearTimeout(limit);
      resolve();
    };
    child.on("error", finished);
    child.on("exit", finished);
  });
