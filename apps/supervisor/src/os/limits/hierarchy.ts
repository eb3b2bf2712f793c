/** Names of cgroups outside of this process's mounts. */
import { readFileSync } from "node:fs";

/** A directory of the unified hierarchy as the host names it, by the mounts of this process (proc_pid_mountinfo(5)). */
export const pathInHierarchy = (
  directory: string,
  mountinfo: string = readFileSync("/proc/self/mountinfo", "utf8"),
): string | undefined => {
  const mounts = mountinfo
    .split("\n")
    .filter((line) => line.includes(" - cgroup2 "))
    .map((line) => line.split(" "))
    .map(([, , , root = "", target = ""]) => ({ root, target }))
    .filter(({ target }) => directory.startsWith(`${target}/`))
    .sort((a, b) => b.target.length - a.target.length);
  const [mount] = mounts;
  if (mount === undefined) return undefined;
  // In a cgroup namespace, what is above its root begins with "/..".
  const above = mount.root.replace(/^(\/\.\.)+/, "").replace(/\/$/, "");
  return `${above}${directory.slice(mount.target.length)}`;
};
