/** The subtree of the unified cgroup hierarchy in which runs get their cgroups. */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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

/**
 * Finds or makes the subtree `name`: in a container below the one that compose.yaml mounts (docs/reference/limits.md),
 * elsewhere below the cgroup that was delegated to this process, or else below the machine's cgroup2 mount.
 * @param wanted controllers that enforce some limit
 */
export const findCgroupRoot = (name: string, wanted: readonly string[]): CgroupRoot => {
  const mounts = cgroup2Mounts();
  const places = mounts.includes(MOUNTED) ? [MOUNTED] : mounts.map((mount) => takeDelegated(mount) ?? mount);
  let why = "no cgroup2 file system is mounted";
  for (const place of places) {
    const path = join(place, name);
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 });
      accessSync(join(path, "cgroup.procs"), constants.W_OK);
      if (isCgroup2(path)) return { path, ...enable(place, path, wanted) };
    } catch (error) {
      why = messageOf(error);
    }
  }
  return { path: undefined, controllers: new Set(), why };
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
