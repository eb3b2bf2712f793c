import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cgroupSettings, UNLIMITED } from "../../core/resource-limits.ts";
import { isPopulated, limitGroups, makeGroup, releaseCgroupRoot } from "./cgroup.ts";
import { whySwapping } from "./cgroup-root.ts";

let group = "";
beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), "dmhost-test-"));
});
afterEach(() => rmSync(group, { recursive: true }));

test("a kernel without swap accounting is reported with the path of the missing file", () => {
  expect(whySwapping(group)).toContain(`no memory.swap.max in ${group}`);
  writeFileSync(join(group, "memory.swap.max"), "max\n");
  expect(whySwapping(group)).toBeUndefined();
});

test("changed limits of a daemon's runs do not apply to its logger", () => {
  for (const name of ["1", "2", "log"]) mkdirSync(join(group, "owner/daemon.d", name), { recursive: true });
  const settings = cgroupSettings(UNLIMITED, { ...UNLIMITED, processes: 1 }, { runs: 2, size: 2, otherProcesses: 4 });
  const root = { path: group, controllers: new Set(["pids"]), why: "" };
  limitGroups(root, { owner: "owner", daemon: "daemon" }, settings);
  const pids = (name: string): string => readFileSync(join(group, "owner/daemon.d", name, "pids.max"), "utf8");
  expect([pids("."), pids("1"), pids("2")]).toEqual(["5", "1", "1"]);
  expect(existsSync(join(group, "owner/daemon.d/log/pids.max"))).toBe(false);
});

test("a cgroup whose limits cannot be set is removed again", () => {
  // The kernel would refuse a value; here the file does not exist.
  const refused = { owner: [], daemon: [], run: [["missing.d/pids.max", "1"]] } as const;
  const root = { path: group, controllers: new Set(["missing"]), why: "" };
  expect(() => makeGroup(root, { owner: "owner", daemon: "daemon", run: "1-1" }, refused)).toThrow("ENOENT");
  expect(existsSync(join(group, "owner/daemon.d/1-1"))).toBe(false);
});

test("the subtree is released with the empty cgroups of failed launches, and kept where a cgroup cannot be removed", () => {
  const root = { path: join(group, "root"), controllers: new Set<string>(), why: "" };
  for (const run of ["anna/web.d/2", "anna/web.d/2.1", "bob/web.d/1"])
    mkdirSync(join(root.path, run), { recursive: true });
  writeFileSync(join(root.path, "bob/web.d/1/busy"), "");
  releaseCgroupRoot(root);
  expect(["anna", "bob/web.d/1"].map((name) => existsSync(join(root.path, name)))).toEqual([false, true]);
  rmSync(join(root.path, "bob/web.d/1/busy"));
  releaseCgroupRoot(root);
  expect(existsSync(root.path)).toBe(false);
});

test("a missing cgroup has no processes", () => {
  expect(isPopulated(join(group, "gone"))).toBe(false);
});

test("a cgroup that cannot be read, because no descriptor is free, may have processes", () => {
  writeFileSync(join(group, "cgroup.events"), "populated 1\nfrozen 0\n");
  const program = `
    import { openSync } from "node:fs";
    import { isPopulated } from "${import.meta.dirname}/cgroup.ts";
    try { for (;;) openSync("/dev/null"); } catch {}
    console.log(isPopulated("${group}"));
  `;
  const argv = ["--nofile=64:64", process.execPath, "--input-type=module", "-e", program];
  expect(execFileSync("prlimit", argv, { encoding: "utf8" })).toBe("true\n");
});
