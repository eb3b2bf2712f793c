/** Removes cgroups of supervisors under test. */
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./program.ts";

const MOUNTS = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

const below = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);

const removeTree = (directory: string): void => {
  for (const child of below(directory)) removeTree(join(directory, child));
  rmdirSync(directory);
};

/** Kills the processes in the top-level cgroups that `chosen` selects by name, and removes the cgroups. */
export const removeCgroups = async (chosen: (name: string) => boolean): Promise<void> => {
  for (const mount of MOUNTS.filter(existsSync)) {
    for (const name of below(mount).filter(chosen)) {
      const path = join(mount, name);
      writeFileSync(join(path, "cgroup.kill"), "1");
      await until(`an empty ${path}`, () => readFileSync(join(path, "cgroup.events"), "utf8").includes("populated 0"));
      removeTree(path);
    }
  }
};
