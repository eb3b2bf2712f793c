/** The supervisor's cgroup subtree on the real cgroup2 file system: controllers, limits and delegation. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { limitGroups, makeGroup, removeGroup } from "../../apps/supervisor/src/os/limits/cgroup.ts";
import { findCgroupRoot } from "../../apps/supervisor/src/os/limits/cgroup-root.ts";
import { nameFor } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import { allProcesses, argumentsOf, isRunning, kill, processesOf } from "./proc.ts";
import { run, succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import { Supervisor } from "./supervisor.ts";

const mount = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) => existsSync(join(path, "cgroup.procs"))) ?? "";
const wordsOf = (path: string): string[] => readFileSync(path, "utf8").trim().split(" ").filter(Boolean);
const pidsOf = (group: string): string[] =>
  readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean).sort();
const withShim = ({ pid, shim }: Supervisor): string[] => [pid, shim].map(String).sort();
const removeTree = (path: string): void => {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  rmdirSync(path);
};

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.make();
});
afterAll(() => stage.remove());

test("each level of the cgroup tree has the controllers and its limits, and missing controllers are named", async () => {
  const offered = wordsOf(join(mount, "cgroup.controllers"));
  const known = ["memory", "pids", "cpu", "hugetlb"];
  const name = `dmhost-${nameFor("tree")}`;
  const root = await findCgroupRoot(name, known, () => Promise.resolve(true));
  try {
    expect(root.path).toBe(join(mount, name));
    expect([...root.controllers].sort()).toEqual(known.filter((each) => offered.includes(each)).sort());
    const missing = known.filter((each) => !offered.includes(each));
    if (missing.length === 0) expect(root.why).toBe("");
    else expect(root.why).toBe(`the cgroup2 file system at ${mount} does not offer ${missing.join(", ")}`);

    const page = offered.includes("hugetlb")
      ? readdirSync(join(mount, name)).find((file) => /^hugetlb\.\w+\.max$/.test(file))
      : undefined;
    const files = (megabytes: number) =>
      [
        ["pids.max", `${megabytes}`],
        ["memory.max", `${megabytes << 20}`],
        ...(page === undefined ? [] : [[page, `${megabytes * 2 ** 30}`] as const]),
      ] as const;
    const levels = (a: number, b: number, c: number) => ({ owner: files(a), daemon: files(b), run: files(c) });
    const group = makeGroup(root, { owner: "amy", daemon: "web", run: "1-1" }, levels(8, 4, 2));
    const limitsAt = (path: string): string[] =>
      files(0).flatMap(([file]) => (existsSync(join(path, file)) ? readFileSync(join(path, file), "utf8").trim() : []));
    const expected = (megabytes: number): string[] =>
      files(megabytes).flatMap(([file, text]) => (root.controllers.has(file.split(".")[0] ?? "") ? text : []));
    const all = () => [join(group, "../.."), join(group, ".."), group].map(limitsAt);
    expect(all()).toEqual([expected(8), expected(4), expected(2)]);
    limitGroups(root, { owner: "amy", daemon: "web" }, levels(10, 6, 3));
    expect(all()).toEqual([expected(10), expected(6), expected(3)]);
    removeGroup(group);
    expect(readdirSync(join(mount, name)).filter((entry) => entry === "amy")).toEqual([]);
  } finally {
    removeTree(join(mount, name));
  }
});

test("a cgroup for which the kernel refuses a limit is removed again", async ({ skip }) => {
  const name = `dmhost-${nameFor("refused")}`;
  const root = await findCgroupRoot(name, ["memory", "pids", "hugetlb"], () => Promise.resolve(true));
  try {
    const file = readdirSync(join(mount, name)).find((entry) => /^(hugetlb\.\w+|pids|memory)\.max$/.test(entry));
    if (file === undefined) return skip("no controller has a limit");
    const refused = { owner: [], daemon: [], run: [[file, "no number"]] } as const;
    expect(() => makeGroup(root, { owner: "amy", daemon: "web", run: "1-1" }, refused)).toThrow("EINVAL");
    expect(existsSync(join(mount, name, "amy"))).toBe(false);
  } finally {
    removeTree(join(mount, name));
  }
});

test("a daemon whose launch failed has no cgroup", async () => {
  const alice = await stage.account("alice");
  const supervisor = stage.supervisor("launches", ["[runs_as]", alice.name]);
  alice.writeConf("broken", "start = exec sleep 1000", "dir = /nonexistent", "max-retries = 0");
  await supervisor.start();
  const { reason } = await supervisor.reaches(`${alice.name}/broken`, "failed");
  expect(reason).toContain("entering /nonexistent");
  expect(existsSync(join(mount, supervisor.cgroup))).toBe(true);
  await until("removal of its cgroups", () => !existsSync(join(mount, supervisor.cgroup, alice.name)));
  await supervisor.end("SIGTERM");
});

test("a supervisor in a delegated cgroup makes its subtree there and moves itself and its shim into a leaf", async () => {
  const group = join(mount, `dmhost-${nameFor("delegated")}`);
  const other = join(mount, `dmhost-${nameFor("other")}`);
  for (const path of [group, other]) mkdirSync(path);
  // By setxattr(2), because a small Debian has no program for it.
  const setxattr = process.arch === "arm64" ? 5 : 188;
  const mark = `my ($name, $value) = ("user.delegate", "1"); exit(syscall(${setxattr}, $ARGV[0], $name, $value, 1, 0) != 0)`;
  const supervisors: Supervisor[] = [];
  const within = async (name: string, place: string): Promise<Supervisor> => {
    const directory = join(stage.directory, name);
    mkdirSync(directory);
    const through = ["/bin/sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$@"', place];
    const supervisor = new Supervisor(directory, { through });
    stage.writePolicy(supervisor, ["[runs_as]"]);
    supervisors.push(supervisor);
    await supervisor.start();
    return supervisor;
  };
  try {
    await succeed("perl", "-e", mark, group);
    const first = await within("first", group);
    expect(existsSync(join(group, first.cgroup))).toBe(true);
    expect([pidsOf(group), pidsOf(join(group, "supervisor"))]).toEqual([[], withShim(first)]);
    await first.end("SIGKILL");
    // A service manager starts the next supervisor within the leaf.
    const next = await within("next", join(group, "supervisor"));
    expect(existsSync(join(group, next.cgroup))).toBe(true);
    // A cgroup that was not delegated is not changed.
    const stranger = await within("stranger", other);
    expect([pidsOf(other), existsSync(join(other, "supervisor"))]).toEqual([withShim(stranger), false]);
    expect(existsSync(join(mount, stranger.cgroup))).toBe(true);
  } finally {
    for (const supervisor of supervisors) {
      await supervisor.end("SIGTERM");
      await supervisor.remove();
      for (const place of [mount, group]) removeTree(join(place, supervisor.cgroup));
    }
    await until("empty cgroups", () =>
      [group, other].every((path) => readFileSync(join(path, "cgroup.events"), "utf8").includes("populated 0")),
    );
    for (const path of [group, other]) removeTree(path);
  }
  expect((await run(["test", "-e", group])).code).toBe(1);
});

test("a supervisor whose run directory was removed ends the shim of the one before, and takes over its cgroups", async () => {
  const eve = await stage.account("eve");
  const supervisor = stage.supervisor("removed", ["[runs_as]", eve.name]);
  const id = `${eve.name}/web`;
  // The first sleep has left the session, and its parent.
  eve.writeConf("web", "start = (setsid sleep 1001 &); echo $$; exec sleep 1000", "output = log");
  await supervisor.start();
  const { pid, logFile } = await supervisor.reaches(id, "running");
  const before = await until("the processes of the run", () => {
    const pids = processesOf(eve.uid);
    return pids.length === 3 && pids;
  });
  const { shim = 0 } = supervisor;
  await supervisor.end("SIGKILL");
  rmSync(supervisor.runDir, { recursive: true });
  await supervisor.start();
  const next = await supervisor.reaches(id, "running", pid);
  await until("the end of all processes before", () => ![shim, ...before].some(isRunning));
  expect(readFileSync(`/proc/${next.pid}/cgroup`, "utf8")).toContain(`0::/${supervisor.cgroup}/`);
  expect(supervisor.text()).toContain("its socket was removed");
  await until("the line of the next run", () => readFileSync(logFile, "utf8").includes(` ${next.pid}\n`));
  expect(await supervisor.end("SIGTERM")).toBe(0);
  expect(existsSync(join(mount, supervisor.cgroup))).toBe(false);
});

test("two supervisors with run directories of one path never touch each other's processes", async () => {
  const amy = await stage.account("amy");
  amy.writeConf("web", "start = exec sleep 1000", "autostart = yes");
  const id = `${amy.name}/web`;
  const shared = join(stage.directory, "shared-run");
  mkdirSync(shared);
  // As in two containers in the host's cgroup namespace: each has its own directory at the path.
  const within = (name: string): Supervisor => {
    const directory = join(stage.directory, name);
    mkdirSync(join(directory, "run"), { recursive: true });
    const bind = 'mount --bind "$0" "$1" && shift && exec "$@"';
    const through = ["unshare", "--mount", "/bin/sh", "-c", bind, join(directory, "run"), shared];
    const supervisor = new Supervisor(directory, { through, flags: ["--run-dir", shared] });
    stage.writePolicy(supervisor, ["[runs_as]", amy.name]);
    return supervisor;
  };
  const [first, second] = [within("host-one"), within("host-two")];
  const base = `dmhost-${shared.slice(1).replaceAll("-", "--").replaceAll("/", "-")}`;
  const groupOf = (pid: number): string =>
    readFileSync(`/proc/${pid}/cgroup`, "utf8").split("0::/").at(-1)?.trim() ?? "";
  const treeOf = (pid: number): string => groupOf(pid).split("/")[0] ?? "";
  const shimOf = (tree: string): number =>
    allProcesses().find((pid) => argumentsOf(pid).includes(join(mount, tree)) && argumentsOf(pid).includes("-t")) ?? 0;
  try {
    await first.start();
    const { pid: begun } = await first.reaches(id, "running");
    await second.start();
    const { pid: other } = await second.reaches(id, "running");
    expect([treeOf(begun), treeOf(other)]).toEqual([base, `${base}-2`]);
    expect(second.text()).toContain("the cgroup of the usual name belongs to another supervisor");
    expect((await first.status(id)).pid).toBe(begun);

    // A tree whose supervisor and shim have ended belongs to nobody; records of its former owner name cgroups of the next one.
    await first.act("restart", id);
    const { pid: one } = await first.status(id);
    const recorded = groupOf(one);
    const gone = shimOf(`${base}-2`);
    await second.end("SIGKILL");
    kill(gone);
    await until("the end of the shim", () => !isRunning(gone));
    await second.start();
    const { pid: next } = await second.reaches(id, "running", other);
    expect([isRunning(one), isRunning(other), treeOf(next)]).toEqual([true, false, `${base}-2`]);
    await first.end("SIGKILL");
    kill(shimOf(base));
    await until("the end of the other shim", () => shimOf(base) === 0);
    await second.end("SIGTERM");
    await second.start();
    await second.reaches(id, "running");
    expect(isRunning(one)).toBe(false);
    const current = async (): Promise<number> => (await second.status(id)).pid;
    // Its run was killed only a moment before; while its cgroup is there, the next run of this number gets another one.
    await until("the removal of the former run's cgroup", () => {
      if (existsSync(join(mount, recorded)) && pidsOf(join(mount, recorded)).length === 0)
        rmdirSync(join(mount, recorded));
      return !existsSync(join(mount, recorded));
    });
    while (groupOf(await current()) !== recorded) await second.act("restart", id);
    const taken = await current();
    await first.start();
    const { pid: last } = await first.reaches(id, "running", one);
    expect([treeOf(last), isRunning(taken), (await second.status(id)).pid]).toEqual([`${base}-2`, true, taken]);
    expect(await second.end("SIGTERM")).toBe(0);
    expect([existsSync(join(mount, base)), isRunning(last)]).toEqual([false, true]);
    expect(await first.end("SIGTERM")).toBe(0);
    expect(existsSync(join(mount, `${base}-2`))).toBe(false);
  } finally {
    for (const supervisor of [first, second]) await supervisor.end("SIGKILL");
    for (const tree of [base, `${base}-2`]) {
      const shim = shimOf(tree);
      if (shim !== 0) kill(shim);
    }
    await removeCgroups((name) => name.startsWith(base));
  }
});
