/** A subtree of the unified cgroup hierarchy: one group a run, so that a run can be counted and ended as a whole. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

const CGROUP2_MAGIC = 0x63677270;

/** Where runs get their groups, or why they get none. */
export type CgroupRoot = { readonly path: string } | { readonly path: undefined; readonly why: string };

const isCgroup2 = (path: string): boolean => {
  try {
    return statfsSync(path).type === CGROUP2_MAGIC;
  } catch {
    return false;
  }
};

const unifiedMounts = (): string[] => {
  try {
    return readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" "))
      .filter(([, , type]) => type === "cgroup2")
      .map(([, target]) => target ?? "");
  } catch {
    return [];
  }
};

/**
 * Finds or makes the subtree `name` that this supervisor may write to: in a container the one mounted as
 * /sys/fs/cgroup/dmhost (DESIGN decision 10), elsewhere one of its own on the machine's cgroup2 mount.
 */
export const findCgroupRoot = (name: string): CgroupRoot => {
  const given = "/sys/fs/cgroup/dmhost";
  const mounts = unifiedMounts();
  const candidates = mounts.includes(given) ? [join(given, name)] : mounts.map((mount) => join(mount, name));
  let why = "no cgroup2 file system is mounted";
  for (const path of candidates) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
      accessSync(join(path, "cgroup.procs"), constants.W_OK);
      if (isCgroup2(path)) return { path };
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
  }
  return { path: undefined, why };
};

/** Takes the subtree away, if no group is left in it. */
export const releaseCgroupRoot = ({ path }: CgroupRoot): void => {
  try {
    if (path !== undefined) rmdirSync(path);
  } catch {
    // What did not end is still in there.
  }
};

/**
 * Makes a new group for one run, `<root>/<owner>/<daemon>.d/<run>`; where a former one of that name is still being emptied,
 * another beside it.
 * @throws errno errors
 */
export const makeGroup = (root: string, owner: string, daemon: string, run: number | "finish"): string => {
  // With an ending of its own, for a daemon may be called what a file of the kernel's is called here.
  const parent = join(root, owner, `${daemon}.d`);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  for (let suffix = 0; ; suffix += 1) {
    const path = join(parent, suffix === 0 ? String(run) : `${run}.${suffix}`);
    if (!existsSync(path)) {
      mkdirSync(path, { mode: 0o755 });
      return path;
    }
  }
};

/**
 * The group of a daemon's logger, `<root>/<owner>/<daemon>.d/log`; it is made where it is missing.
 * @throws errno errors
 */
export const loggerGroup = (root: string, owner: string, daemon: string): string => {
  const path = join(root, owner, `${daemon}.d`, "log");
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
};

/** Every run's group below `root`: `<root>/<owner>/<daemon>.d/<run>`. */
export const listGroups = (root: string): string[] => {
  const below = (path: string): string[] =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(path, entry.name));
  return below(root).flatMap(below).flatMap(below);
};

/** Pids in the group and the groups below it. */
export const groupMembers = (path: string): number[] => {
  try {
    const own = readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").map(Number);
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own.filter((pid) => pid > 0), ...below.flatMap((entry) => groupMembers(join(path, entry.name)))];
  } catch {
    return [];
  }
};

/** Whether any process is left in the group or below it. A group that is not there is empty. */
export const isPopulated = (path: string): boolean => {
  try {
    return readFileSync(join(path, "cgroup.events"), "utf8").includes("populated 1");
  } catch {
    return false;
  }
};

/** Whether the kernel has killed any process of the group because it had no memory for it; false where it does not count. */
export const hasStarved = (path: string): boolean => {
  try {
    return /^oom_kill [1-9]/m.test(readFileSync(join(path, "memory.events"), "utf8"));
  } catch {
    return false;
  }
};

/** Kills everything in the group at once; false where this kernel cannot (before 5.14). */
export const killGroup = (path: string): boolean => {
  try {
    writeFileSync(join(path, "cgroup.kill"), "1");
    return true;
  } catch {
    return false;
  }
};

/** Removes the empty group of a run that is over, and those above it that have no other. */
export const removeGroup = (path: string): void => {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) rmdirSync(join(path, entry.name));
    }
    rmdirSync(path);
    rmdirSync(join(path, ".."));
    rmdirSync(join(path, "../.."));
  } catch {
    // Others live there, or it is gone already: either way nothing is owed.
  }
};
