/**
 * What an account has left in a directory that it was given: taken away by a program of the account's own, so that neither
 * links in it nor how deep or large it is are of any consequence to the supervisor.
 */
import { spawn } from "node:child_process";
import { rmdirSync } from "node:fs";
import { closeOnExec } from "../kernel/descriptors.ts";
import type { FileIdentity } from "../kernel/file-identity.ts";
import { privileged } from "../kernel/privileges.ts";

/** How long it may take. In ms. */
const LONGEST = 60_000;

/** A directory that its owner has shut is opened again. */
const REMOVE = 'rm -rf -- "$1" || { chmod -R u+rwX -- "$1"; rm -rf -- "$1"; }';

/** What is being done for each account, one thing after the other. */
const queues = new Map<number, Promise<void>>();

/**
 * Begins to remove what is in the directory, and it, which only the supervisor can move. `done` is called when that is over;
 * what cannot be removed, or not in a minute, is left.
 */
export const removeStaleFiles = (directory: string, { uid, gid }: FileIdentity, done: () => void): void => {
  const before = queues.get(uid) ?? Promise.resolve();
  const after = before.then(async () => {
    await run(["/bin/sh", "-c", REMOVE, "sh", directory], uid, gid);
    try {
      rmdirSync(directory);
    } catch {
      // Its account sees to it that it stays; it counts against it (binding.ts: MOST_LEFT).
    }
    if (queues.get(uid) === after) queues.delete(uid);
    done();
  });
  queues.set(uid, after);
};

const run = (argv: readonly string[], uid: number, gid: number): Promise<void> =>
  new Promise((resolve) => {
    const become = ["/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs"];
    const powerless = ["--inh-caps=-all", "--bounding-set=-all", "--"];
    const [file = "", ...args] = [...(privileged ? [...become, ...powerless] : []), "/usr/bin/nice", "-n19", ...argv];
    closeOnExec();
    const child = spawn(file, args, { cwd: "/", env: { PATH: "/usr/bin:/bin" }, stdio: "ignore", detached: true });
    // With what it has begun: it leads a group of its own, and has not been waited for.
    const limit = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, "SIGKILL"), LONGEST);
    const over = (): void => {
      clearTimeout(limit);
      resolve();
    };
    child.on("error", over);
    child.on("exit", over);
  });
