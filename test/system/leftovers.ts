/** Mounts, accounts, groups, cgroups and directories of aborted test runs: their names contain the pid of a process that is gone. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makerOf, removeAccount, removeGroup } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import { allProcesses, argumentsOf, kill } from "./proc.ts";
import { succeed } from "./program.ts";

const isLeft = (name: string): boolean => {
  const pid = makerOf(name);
  return pid !== undefined && !existsSync(`/proc/${pid}`);
};

const entries = async (database: "passwd" | "group"): Promise<string[][]> =>
  (await succeed("getent", database)).split("\n").map((line) => line.split(":"));

/** Mounts below a directory, the deepest first. */
const mountsBelow = (directory: string): string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${directory}/`))
    .sort()
    .reverse();

/** Removes them and kills their processes. `stages` is the directory of the stages. */
export const removeLeftovers = async (stages: string): Promise<void> => {
  const directories = readdirSync(stages).filter(isLeft);
  for (const directory of directories) {
    for (const pid of allProcesses()) {
      // A supervisor or web server of the aborted run would go on starting processes.
      if (argumentsOf(pid).some((argument) => argument.includes(`${join(stages, directory)}/`))) kill(pid);
    }
  }
  for (const directory of directories) {
    for (const path of mountsBelow(join(stages, directory))) await succeed("umount", "--lazy", path);
  }
  await removeCgroups(isLeft);
  for (const [name = "", , uid, , comment = ""] of await entries("passwd")) {
    if (isLeft(name) || isLeft(comment)) await removeAccount(name, Number(uid));
  }
  for (const [name = ""] of await entries("group")) if (isLeft(name)) await removeGroup(name);
  for (const directory of directories) rmSync(join(stages, directory), { recursive: true, force: true });
};
