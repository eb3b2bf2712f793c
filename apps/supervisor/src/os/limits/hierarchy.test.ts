import { expect, test } from "vitest";
import { pathInHierarchy } from "./hierarchy.ts";

const line = (root: string, target: string, type = "cgroup2"): string =>
  `31 24 0:27 ${root} ${target} rw,nosuid shared:9 - ${type} cgroup2 rw`;

test.each([
  [
    "the machine's mount",
    [line("/", "/sys/fs/cgroup")],
    "/sys/fs/cgroup/dmhost/alice/web.d/1-2",
    "/dmhost/alice/web.d/1-2",
  ],
  ["a subtree", [line("/system.slice", "/run/dmhost-cgroup")], "/run/dmhost-cgroup/dmhost/a", "/system.slice/dmhost/a"],
  [
    "a cgroup namespace that sees the machine's root",
    [line("/../..", "/run/dmhost-cgroup")],
    "/run/dmhost-cgroup/dmhost/a",
    "/dmhost/a",
  ],
  ["a mount within another one", [line("/", "/c"), line("/inner", "/c/d")], "/c/d/x", "/inner/x"],
  ["a mount of another type", [line("/", "/sys/fs/cgroup", "cgroup")], "/sys/fs/cgroup/x", undefined],
])("%s", (_, mounts, directory, path) => {
  expect(pathInHierarchy(directory, mounts.join("\n"))).toBe(path);
});
