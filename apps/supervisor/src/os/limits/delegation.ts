/** The cgroup that systemd or another service manager delegated to the supervisor (systemd.resource-control(5): Delegate=). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "../kernel/error-code.ts";
import { hasMark } from "../kernel/file-calls.ts";

/** The leaf for the supervisor's processes: a cgroup with controllers enabled below it may have no processes itself. */
const LEAF = "supervisor";
/** Extended attributes of a delegated cgroup. */
const MARKS = ["user.delegate", "trusted.delegate"] as const;

/** Path of this process's cgroup in the hierarchy; undefined where it is in the root or in none. */
const ownGroup = (): string | undefined => {
  const line = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((each) => each.startsWith("0::"));
  const path = line?.slice(3) ?? "/";
  return path === "/" || path.includes("/..") ? undefined : path;
};

/**
 * The directory of the cgroup that was delegated to this process on the cgroup2 file system at `mount`; moves its processes
 * into a leaf. undefined where none was delegated.
 */
export const takeDelegated = (mount: string): string | undefined => {
  try {
    const own = ownGroup();
    if (own === undefined) return undefined;
    // A supervisor that was restarted there starts in the leaf.
    const group = join(mount, basename(own) === LEAF ? dirname(own) : own);
    if (!MARKS.some((mark) => hasMark(group, mark))) return undefined;
    const leaf = join(group, LEAF);
    mkdirSync(leaf, { recursive: true, mode: 0o755 });
    for (const pid of readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean)) move(pid, leaf);
    return group;
  } catch {
    return undefined;
  }
};

const move = (pid: string, leaf: string): void => {
  try {
    writeFileSync(join(leaf, "cgroup.procs"), pid);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
};
