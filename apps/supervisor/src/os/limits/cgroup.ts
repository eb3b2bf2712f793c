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
import { dirname, join } from "node:path";
import type { Allotment, GroupFile } from "../../core/allowance.ts";
import type { Means } from "../../core/enforcement.ts";
import { takeDelegated } from "./delegation.ts";

const CGROUP2_MAGIC = 0x63677270;

/**
 * Where runs get their groups, and the controllers that limits can be set of there; `why` there is none of it, or not
 * every controller.
 */
export interface CgroupRoot extends Means {
  readonly path: string | undefined;
}

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
 * Finds or makes the subtree `name` that this supervisor may write to: in a container the one that compose.yaml mounts
 * (docs/reference/limits.md), elsewhere one within what was delegated to it, or else of its own on the machine's
 * cgroup2 mount.
 * @param wanted controllers that there are limits of
 */
export const findCgroupRoot = (name: string, wanted: readonly string[]): CgroupRoot => {
  const given = "/run/dmhost-cgroup";
  const mounts = unifiedMounts();
  const places = mounts.includes(given) ? [given] : mounts.map((mount) => takeDelegated(mount) ?? mount);
  let why = "no cgroup2 file system is mounted";
  for (const place of places) {
    const path = join(place, name);
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
      accessSync(join(path, "cgroup.procs"), constants.W_OK);
      if (isCgroup2(path)) return { path, ...enable(place, path, wanted) };
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
  }
  return { path: undefined, controllers: new Set(), why };
};

/** Takes the subtree away, if no group is left in it. */
export const releaseCgroupRoot = ({ path }: CgroupRoot): void => {
  try {
    if (path !== undefined) rmdirSync(path);
  } catch {
    // What did not end is still in there.
  }
};

const wordsOf = (directory: string, file: string): string[] =>
  readFileSync(join(directory, file), "utf8").trim().split(" ");

/** Hands the controllers down from `place` to what is below `path`. */
const enable = (place: string, path: string, wanted: readonly string[]): Means => {
  const troubles: string[] = [];
  for (const directory of [place, path]) {
    for (const controller of wanted) {
      if (!wordsOf(directory, "cgroup.controllers").includes(controller)) continue;
      try {
        passDown(directory, [controller]);
      } catch (error) {
        troubles.push(`enabling ${controller} in ${directory}: ${error instanceof Error ? error.message : error}`);
      }
    }
  }
  const enabled = wordsOf(path, "cgroup.subtree_control");
  // Without it this kernel shares out no disk.
  const weighs = existsSync(join(path, "io.weight"));
  const controllers = new Set(wanted.filter((each) => enabled.includes(each) && (each !== "io" || weighs)));
  const missing = wanted.filter((each) => !controllers.has(each));
  const lack = `the cgroup2 file system at ${place} does not offer ${missing.join(", ")}`;
  const swaps = controllers.has("memory") ? whySwapping(path) : undefined;
  return { controllers, swaps, why: missing.length === 0 ? "" : [lack, ...troubles].join("; ") };
};

/** Why what groups below this one have swapped out cannot be limited; undefined where it can. */
export const whySwapping = (path: string): string | undefined =>
  existsSync(join(path, "memory.swap.max"))
    ? undefined
    : `this kernel does not count it: there is no memory.swap.max in ${path}; boot with swapaccount=1, or without swap`;

const passDown = (directory: string, controllers: readonly string[]): void => {
  if (controllers.length === 0) return;
  writeFileSync(`${directory}/cgroup.subtree_control`, controllers.map((each) => `+${each}`).join(" "));
};

/** What not every kernel has (swap accounting can be off), and what can be done without. */
const DISPENSABLE: ReadonlySet<string> = new Set(["memory.swap.max", "memory.oom.group"]);

const tell = (directory: string, files: readonly GroupFile[], controllers: ReadonlySet<string>): void => {
  for (const [file, text] of files) {
    if (!controllers.has(file.slice(0, file.indexOf(".")))) continue;
    const path = `${directory}/${file}`;
    if (DISPENSABLE.has(file) && !existsSync(path)) continue;
    writeFileSync(path, text);
  }
};

/** Where the groups of a daemon are; with an ending of its own, for it may be called what a file of the kernel's is here. */
const placeOf = (root: string, owner: string, daemon: string): string => `${root}/${owner}/${daemon}.d`;

/**
 * Makes a new group for one run, `<root>/<owner>/<daemon>.d/<run>`, with its limits at each level; where a former one of
 * that name is still being emptied, another beside it.
 * @throws errno errors
 */
export const makeGroup = (
  { path: root = "", controllers }: CgroupRoot,
  { owner, daemon, run }: { readonly owner: string; readonly daemon: string; readonly run: number | "finish" },
  allotment: Allotment,
): string => {
  const parent = placeOf(root, owner, daemon);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  for (const directory of [`${root}/${owner}`, parent]) passDown(directory, [...controllers]);
  tell(`${root}/${owner}`, allotment.owner, controllers);
  tell(parent, allotment.daemon, controllers);
  for (let suffix = 0; ; suffix += 1) {
    const path = `${parent}/${suffix === 0 ? run : `${run}.${suffix}`}`;
    if (!existsSync(path)) {
      mkdirSync(path, { mode: 0o755 });
      tell(path, allotment.run, controllers);
      return path;
    }
  }
};

const LOGGER = "log";

/**
 * The group of a daemon's logger, `<root>/<owner>/<daemon>.d/log`; it is made where it is missing.
 * @throws errno errors
 */
export const loggerGroup = (root: string, owner: string, daemon: string): string => {
  const path = `${placeOf(root, owner, daemon)}/${LOGGER}`;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
};

/**
 * Holds a daemon's groups, as far as there are any, to other limits.
 * @throws errno errors
 */
export const limitGroups = (
  { path: root = "", controllers }: CgroupRoot,
  { owner, daemon }: { readonly owner: string; readonly daemon: string },
  allotment: Allotment,
): void => {
  const parent = placeOf(root, owner, daemon);
  if (controllers.size === 0 || !existsSync(parent)) return;
  for (const directory of [`${root}/${owner}`, parent]) passDown(directory, [...controllers]);
  tell(`${root}/${owner}`, allotment.owner, controllers);
  tell(parent, allotment.daemon, controllers);
  for (const entry of readdirSync(parent, { withFileTypes: true })) {
    // The logger is none of its runs.
    if (entry.isDirectory() && entry.name !== LOGGER) tell(`${parent}/${entry.name}`, allotment.run, controllers);
  }
};

/** Every run's group below `root`: `<root>/<owner>/<daemon>.d/<run>`. */
export const listGroups = (root: string): string[] => {
  const below = (path: string): string[] =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${path}/${entry.name}`);
  return below(root).flatMap(below).flatMap(below);
};

/** Pids in the group and the groups below it. */
export const groupMembers = (path: string): number[] => {
  try {
    const own = readFileSync(`${path}/cgroup.procs`, "utf8").split("\n").map(Number);
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own.filter((pid) => pid > 0), ...below.flatMap((entry) => groupMembers(`${path}/${entry.name}`))];
  } catch {
    return [];
  }
};

/** What becomes of a look at a group that is not there, or is being removed. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ENODEV"]);

/** Whether any process is left in the group or below it. A group that is not there is empty; one that cannot be read is not. */
export const isPopulated = (path: string): boolean => {
  try {
    return readFileSync(`${path}/cgroup.events`, "utf8").includes("populated 1");
  } catch (error) {
    return !GONE.has((error as NodeJS.ErrnoException).code ?? "");
  }
};

/** Whether the kernel has killed any process of the group because it had no memory for it; false where it does not count. */
export const hasStarved = (path: string): boolean => {
  try {
    return /^oom_kill [1-9]/m.test(readFileSync(`${path}/memory.events`, "utf8"));
  } catch {
    return false;
  }
};

/** Kills everything in the group at once; false where this kernel cannot (before 5.14). */
export const killGroup = (path: string): boolean => {
  // It would wait for whoever is just joining another group.
  if (!isPopulated(path)) return true;
  try {
    writeFileSync(`${path}/cgroup.kill`, "1");
    return true;
  } catch {
    return false;
  }
};

/** Removes the empty group of a run that is over, and those above it that have no other. */
export const removeGroup = (path: string): void => {
  try {
    try {
      rmdirSync(path);
    } catch {
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory()) rmdirSync(`${path}/${entry.name}`);
      }
      rmdirSync(path);
    }
    rmdirSync(dirname(path));
    rmdirSync(dirname(dirname(path)));
  } catch {
    // Others live there, or it is gone already: either way nothing is owed.
  }
};
