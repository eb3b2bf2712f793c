/** What a run of the tests that was cut off has left on this machine: everything that names a process that is no more. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makerOf, removeAccount, removeGroup } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import { allProcesses, argumentsOf, kill } from "./proc.ts";
import { succeed } from "./program.ts";

const isLeft = (name: string): boolean => {
  const maker = makerOf(name);
  return maker !== undefined && !existsSync(`/proc/${maker}`);
};

const entries = async (database: "passwd" | "group"): Promise<string[][]> =>
  (await succeed("getent", database)).split("\n").map((line) => line.split(":"));

/** Ends and removes it. `stages` is the directory of the stages. */
export const removeLeftovers = async (stages: string): Promise<void> => {
  const directories = readdirSync(stages).filter(isLeft);
  for (const directory of directories) {
    for (const pid of allProcesses()) {
      // A supervisor, a web server, whatever was started for its files there: it would go on making processes.
      if (argumentsOf(pid).some((argument) => argument.includes(`${join(stages, directory)}/`))) kill(pid);
    }
  }
  await removeCgroups(isLeft);
  for (const [name = "", , uid, , comment = ""] of await entries("passwd")) {
    if (isLeft(name) || isLeft(comment)) await removeAccount(name, Number(uid));
  }
  for (const [name = ""] of await entries("group")) if (isLeft(name)) await removeGroup(name);
  for (const directory of directories) rmSync(join(stages, directory), { recursive: true, force: true });
};
