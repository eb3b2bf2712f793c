/** The subtree of the unified cgroup hierarchy in which runs get their cgroups. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Means } from "../../core/enforcement.ts";
import { messageOf } from "../../core/error-message.ts";
import { takeDelegated } from "./delegation.ts";

const CGROUP2_MAGIC = 0x63677270;
/** Where compose.yaml mounts the subtree of the machine. */
const MOUNTED = "/run/dmhost-cgroup";

/** The subtree, and the controllers that enforce limits in it. `why`: why there is no subtree, or not every controller. */
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

const cgroup2Mounts = (): string[] => {
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

/** Supervisors that see one tree may have run directories of one path, in different containers or chroots. */
const MOST_OF_ONE_NAME = 64;

/** Moves this process into its leaf where a cgroup was delegated to it; returns where subtrees may be. */
const takePlaces = (): readonly string[] => {
  const mounts = cgroup2Mounts();
  return mounts.includes(MOUNTED) ? [MOUNTED] : mounts.map((mount) => takeDelegated(mount) ?? mount);
};

/**
 * Finds or makes the subtree `name`: in a container below the one that compose.yaml mounts (docs/reference/limits.md),
 * elsewhere below the cgroup that was delegated to this process, or else below the machine's cgroup2 mount. Where another
 * supervisor owns that one, `name-2`, and so on.
 * @param wanted controllers that enforce some limit
 * @param own makes this supervisor the owner of a directory; false where another one owns it
 */
export const findCgroupRoot = async (
  name: string,
  wanted: readonly string[],
  own: (path: string) => Promise<boolean>,
): Promise<CgroupRoot> => {
  let why = "no cgroup2 file system is mounted";
  for (const place of takePlaces()) {
    for (let number = 1; number <= MOST_OF_ONE_NAME; number += 1) {
      const path = join(place, number === 1 ? name : `${name}-${number}`);
      try {
        makeCgroup(path);
      } catch (error) {
        why = messageOf(error);
        break;
      }
      if (await own(path)) return { path, ...enable(place, path, wanted) };
      why = `other supervisors own ${join(place, name)} and ${number - 1} more`;
    }
  }
  return { path: undefined, controllers: new Set(), why };
};

/** The subtree that the shim of an earlier supervisor owns; `path` is undefined where it has none. */
export const knownCgroupRoot = (path: string | undefined, wanted: readonly string[]): CgroupRoot => {
  takePlaces();
  if (path === undefined) return { path, controllers: new Set(), why: "there were none when the shim was started" };
  try {
    makeCgroup(path);
    return { path, ...enable(dirname(path), path, wanted) };
  } catch (error) {
    return { path: undefined, controllers: new Set(), why: `that of the running daemons is lost: ${messageOf(error)}` };
  }
};

/** @throws Error where it is not a cgroup, or cannot be written to */
const makeCgroup = (path: string): void => {
  // Who can open it can lock it.
  mkdirSync(path, { recursive: true, mode: 0o750 });
  accessSync(join(path, "cgroup.procs"), constants.W_OK);
  if (!isCgroup2(path)) throw new Error(`${path} is not a cgroup`);
};

const wordsOf = (directory: string, file: string): string[] =>
  readFileSync(join(directory, file), "utf8").trim().split(" ");

/** Enables the controllers in `place` and for the cgroups below `path`. */
const enable = (place: string, path: string, wanted: readonly string[]): Means => {
  const problems: string[] = [];
  for (const directory of [place, path]) {
    for (const controller of wanted) {
      if (!wordsOf(directory, "cgroup.controllers").includes(controller)) continue;
      try {
        enableBelow(directory, [controller]);
      } catch (error) {
        problems.push(`enabling ${controller} in ${directory}: ${messageOf(error)}`);
      }
    }
  }
  const enabled = wordsOf(path, "cgroup.subtree_control");
  // Without this file the kernel does not distribute disk time by weight.
  const hasWeights = existsSync(join(path, "io.weight"));
  const controllers = new Set(wanted.filter((each) => enabled.includes(each) && (each !== "io" || hasWeights)));
  const missing = wanted.filter((each) => !controllers.has(each));
  const lack = `the cgroup2 file system at ${place} does not offer ${missing.join(", ")}`;
  const swaps = controllers.has("memory") ? whySwapping(path) : undefined;
  return { controllers, swaps, why: missing.length === 0 ? "" : [lack, ...problems].join("; ") };
};

/** Why swap of the cgroups below `path` cannot be limited; undefined where it can. */
export const whySwapping = (path: string): string | undefined =>
  existsSync(join(path, "memory.swap.max"))
    ? undefined
    : `this kernel does not count it: there is no memory.swap.max in ${path}; boot with swapaccount=1, or without swap`;

/** Enables controllers for the cgroups below a directory. */
export const enableBelow = (directory: string, controllers: readonly string[]): void => {
  if (controllers.length === 0) return;
  writeFileSync(`${directory}/cgroup.subtree_control`, controllers.map((each) => `+${each}`).join(" "));
};
