import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CgroupSettings } from "../../core/resource-limits.ts";
import { CgroupLimits } from "./cgroup-limits.ts";
import type { CgroupRoot } from "./cgroup-root.ts";

const KEY = { owner: { name: "anna", uid: 1000, gid: 1000, home: "/home/anna", shell: "/bin/sh" }, name: "blog" };
const settings = (pids: number): CgroupSettings => ({
  owner: [["pids.max", "100"]],
  daemon: [
    ["pids.max", `${pids}`],
    ["memory.max", "1000"],
  ],
  run: [["pids.max", `${pids}`]],
});

let path = "";
let reports: string[] = [];
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), "dmhost-cgroup-"));
  reports = [];
});
afterEach(() => rmSync(path, { recursive: true }));

const limits = (root: Partial<CgroupRoot> = {}): CgroupLimits =>
  new CgroupLimits({ path, controllers: new Set(["pids"]), why: "", ...root }, (group, problem) =>
    reports.push(`${group.slice(path.length + 1)}: ${problem}`),
  );
const text = (file: string): string | undefined =>
  existsSync(join(path, file)) ? readFileSync(join(path, file), "utf8") : undefined;

test("a run gets a cgroup with limits at each level, by the available controllers only", () => {
  expect(limits().daemon(KEY).makeGroup(1, 3, settings(7))).toBe(join(path, "anna/blog.d/1-3"));
  expect(["anna", "anna/blog.d", "anna/blog.d/1-3"].map((group) => text(`${group}/pids.max`))).toEqual([
    "100",
    "7",
    "7",
  ]);
  expect(text("anna/blog.d/memory.max")).toBeUndefined();
  expect([text("anna/cgroup.subtree_control"), text("anna/blog.d/cgroup.subtree_control")]).toEqual(["+pids", "+pids"]);
});

test("a run gets another cgroup where an earlier one of its number still exists", () => {
  const daemon = limits().daemon(KEY);
  const made = [1, 2, 3].map(() => daemon.makeGroup(1, 1, settings(1)));
  expect(made).toEqual(["1-1", "1-1.1", "1-1.2"].map((name) => join(path, "anna/blog.d", name)));
});

test("changed limits are written to the cgroups of all runs", () => {
  const daemon = limits().daemon(KEY);
  daemon.makeGroup(1, 1, settings(7));
  daemon.makeGroup(1, 2, settings(7));
  daemon.apply(settings(8));
  expect([1, 2].map((run) => text(`anna/blog.d/1-${run}/pids.max`))).toEqual(["8", "8"]);
});

test("a run that is started with other limits changes no earlier cgroup", () => {
  const daemon = limits().daemon(KEY);
  daemon.makeGroup(1, 1, settings(7));
  daemon.makeGroup(1, 2, settings(8));
  expect(text("anna/blog.d/1-1/pids.max")).toBe("7");
});

test("a logger gets one cgroup for its lifetime, without a run's limits", () => {
  const daemon = limits().daemon(KEY);
  const group = daemon.loggerGroup();
  expect([group, daemon.loggerGroup()]).toEqual([join(path, "anna/blog.d/log"), group]);
  daemon.apply(settings(7));
  expect(text("anna/blog.d/log/pids.max")).toBeUndefined();
});

test("there are no cgroups, and no errors, without a subtree", () => {
  const without = limits({ path: undefined, controllers: new Set(), why: "no cgroup2 file system is mounted" });
  const daemon = without.daemon(KEY);
  expect([daemon.makeGroup(1, 1, settings(1)), daemon.loggerGroup()]).toEqual([undefined, undefined]);
  daemon.apply(settings(2));
  without.removeStrays(new Set(), () => false);
});

test("stray cgroups are removed, killed first and reported where they have processes", () => {
  for (const group of ["anna/blog.d/1", "anna/blog.d/2", "ben/shop.d/1", "cleo/wiki.d/1"])
    mkdirSync(join(path, group), { recursive: true });
  writeFileSync(join(path, "cleo/wiki.d/1/cgroup.events"), "populated 1\n");
  mkdirSync(join(path, "dora/away.d/1"), { recursive: true });
  limits().removeStrays(new Set([join(path, "anna/blog.d/2")]), (owner) => owner === "dora");
  expect(existsSync(join(path, "dora/away.d/1"))).toBe(true);
  expect(["anna/blog.d/1", "anna/blog.d/2", "ben"].map((group) => existsSync(join(path, group)))).toEqual([
    false,
    true,
    false,
  ]);
  expect(text("cleo/wiki.d/1/cgroup.kill")).toBe("1");
  expect(reports).toEqual(["cleo/wiki.d/1: killing the stray processes of an earlier supervisor in this cgroup"]);
});
