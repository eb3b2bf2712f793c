/** cgroups of runs: one for each, so that limits and signals apply to all of its processes. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { CgroupSettings, GroupFile } from "../../core/resource-limits.ts";
import { codeOf } from "../kernel/error-code.ts";
import { type CgroupRoot, enableBelow } from "./cgroup-root.ts";

/** Files that some kernels lack (swap accounting can be off); limits work without them. */
const OPTIONAL: ReadonlySet<string> = new Set(["memory.swap.max", "memory.oom.group"]);

const writeLimits = (directory: string, files: readonly GroupFile[], controllers: ReadonlySet<string>): void => {
  for (const [file, text] of files) {
    if (!controllers.has(file.slice(0, file.indexOf(".")))) continue;
    const path = `${directory}/${file}`;
    if (OPTIONAL.has(file) && !existsSync(path)) continue;
    writeFileSync(path, text);
  }
};

/** The cgroup of a daemon; its suffix keeps a daemon's name apart from the names of the kernel's files. */
const daemonGroup = (root: string, owner: string, daemon: string): string => `${root}/${owner}/${daemon}.d`;

/**
 * Makes a new cgroup for one run, `<root>/<owner>/<daemon>.d/<instance>-<run>`, with limits at each level. Where an earlier cgroup of
 * that name still has processes, the name gets a suffix.
 * @throws errno errors
 */
export const makeGroup = (
  { path: root = "", controllers }: CgroupRoot,
  { owner, daemon, run }: { readonly owner: string; readonly daemon: string; readonly run: string },
  settings: CgroupSettings,
): string => {
  const parent = daemonGroup(root, owner, daemon);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  for (const directory of [`${root}/${owner}`, parent]) enableBelow(directory, [...controllers]);
  writeLimits(`${root}/${owner}`, settings.owner, controllers);
  writeLimits(parent, settings.daemon, controllers);
  for (let suffix = 0; ; suffix += 1) {
    const path = `${parent}/${suffix === 0 ? run : `${run}.${suffix}`}`;
    if (!existsSync(path)) {
      mkdirSync(path, { mode: 0o755 });
      try {
        writeLimits(path, settings.run, controllers);
      } catch (error) {
        removeGroup(path);
        throw error;
      }
      return path;
    }
  }
};

const LOGGER = "log";

/**
 * The cgroup of a daemon's logger, `<root>/<owner>/<daemon>.d/log`; makes it where it is missing.
 * @throws errno errors
 */
export const loggerGroup = (root: string, owner: string, daemon: string): string => {
  const path = `${daemonGroup(root, owner, daemon)}/${LOGGER}`;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
};

/**
 * Changes the limits of a daemon's cgroups, as far as there are any.
 * @throws errno errors
 */
export const limitGroups = (
  { path: root = "", controllers }: CgroupRoot,
  { owner, daemon }: { readonly owner: string; readonly daemon: string },
  settings: CgroupSettings,
): void => {
  const parent = daemonGroup(root, owner, daemon);
  if (controllers.size === 0 || !existsSync(parent)) return;
  for (const directory of [`${root}/${owner}`, parent]) enableBelow(directory, [...controllers]);
  writeLimits(`${root}/${owner}`, settings.owner, controllers);
  writeLimits(parent, settings.daemon, controllers);
  for (const entry of readdirSync(parent, { withFileTypes: true })) {
    // The logger has no run's limits.
    if (entry.isDirectory() && entry.name !== LOGGER) writeLimits(`${parent}/${entry.name}`, settings.run, controllers);
  }
};

/** All cgroups of runs and loggers below `root`: `<root>/<owner>/<daemon>.d/<run>`. */
export const listGroups = (root: string): string[] => {
  const below = (path: string): string[] =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${path}/${entry.name}`);
  return below(root).flatMap(below).flatMap(below);
};

/** Pids in the cgroup and in those below it; none where it cannot be read. */
export const groupMembers = (path: string): number[] => {
  try {
    const own = readFileSync(`${path}/cgroup.procs`, "utf8").split("\n").map(Number);
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own.filter((pid) => pid > 0), ...below.flatMap((entry) => groupMembers(`${path}/${entry.name}`))];
  } catch {
    return [];
  }
};

/** Errors for a cgroup that does not exist, or is being removed. */
const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENODEV"]);

/** Whether the cgroup or one below it has processes. A missing cgroup has none; one that cannot be read may have some. */
export const isPopulated = (path: string): boolean => {
  try {
    return readFileSync(`${path}/cgroup.events`, "utf8").includes("populated 1");
  } catch (error) {
    return !ABSENT.has(codeOf(error));
  }
};

/** Kills all processes of the cgroup at once; false where this kernel cannot (before 5.14). */
export const killGroup = (path: string): boolean => {
  // For an empty cgroup the write would only wait until other processes have joined theirs.
  if (!isPopulated(path)) return true;
  try {
    writeFileSync(`${path}/cgroup.kill`, "1");
    return true;
  } catch {
    return false;
  }
};

/** Removes a cgroup that holds no other; whether it did. A directory has two links, and one for each below it. */
const removeIfLeaf = (path: string): boolean => {
  if (statSync(path).nlink > 2) return false;
  rmdirSync(path);
  return true;
};

/** Removes the empty cgroup of an ended run, and its parents that have no other. */
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
    removeIfLeaf(dirname(path)) && removeIfLeaf(dirname(dirname(path)));
  } catch {
    // It was removed already.
  }
};

/** Removes the subtree with its empty cgroups. One that has processes stays. */
export const releaseCgroupRoot = ({ path }: CgroupRoot): void => {
  if (path === undefined) return;
  try {
    // A launch that failed has left its cgroup.
    for (const group of listGroups(path)) removeGroup(group);
    rmdirSync(path);
  } catch {
    // It holds processes that have not ended.
  }
};
