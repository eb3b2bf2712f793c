/**
 * Removes the stale files of an account by a program that runs as the account, so that links among them, their depth and
 * their number cannot harm the supervisor.
 */
import { spawn } from "node:child_process";
import { rmdirSync } from "node:fs";
import { closeOnExec } from "../kernel/descriptors.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";
import { identify } from "../kernel/process-table.ts";
import { killSession } from "../kernel/signal-process.ts";

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
    await run(["/bin/sh", "-c", REMOVE, "sh", directory], uid, gid);
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

const run = (argv: readonly string[], uid: number, gid: number): Promise<void> =>
  new Promise((resolve) => {
    const become = ["/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"];
    const unprivileged = ["--inh-caps=-all", "--bounding-set=-all", "--"];
    const [file = "", ...args] = [
      ...(privileged ? [...become, ...unprivileged] : []),
      "/usr/bin/nice",
      "-n19",
      ...argv,
    ];
    closeOnExec();
    const child = spawn(file, args, { cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdio: "ignore", detached: true });
    const end = (): void => {
      try {
        // It is not reaped yet, so the pid is still its own.
        const leader = child.pid === undefined ? undefined : identify(child.pid);
        if (leader) killSession(leader);
      } catch {
        // No descriptor for /proc: the next try follows.
      }
    };
    const limit = setInterval(end, LONGEST);
    const finished = (): void => {
      clearInterval(limit);
      resolve();
    };
    child.on("error", finished);
    child.on("exit", finished);
  });
