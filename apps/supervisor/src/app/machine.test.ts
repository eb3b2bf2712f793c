import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readFlags } from "./flags.ts";
import { fakeLog } from "./log.fake.ts";
import { cgroupName, type Machine, makeMachine } from "./machine.ts";

let directory: string;
let machine: Machine | undefined;
let lines: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "machine-"));
});
afterEach(async () => {
  machine?.release();
  machine = undefined;
  rmSync(directory, { recursive: true });
});

const make = async (
  run = "run",
  state = "state",
  program = import.meta.filename,
  more: readonly string[] = [],
): Promise<Machine> => {
  const { log, lines: written } = fakeLog();
  lines = written;
  const at = (name: string) => join(directory, name);
  const args = [
    "--run-dir",
    at(run),
    "--state-dir",
    at(state),
    "--fastcgi-dir",
    at("fastcgi"),
    "--tools-dir",
    at("t"),
    ...more,
  ];
  const accounts = { users: new Map(), groups: new Map() };
  machine = await makeMachine(readFlags(args), accounts, program, log);
  return machine;
};

test("run and state directory are made, and others may enter them", async () => {
  await make();
  expect(["run", "state"].map((name) => statSync(join(directory, name)).mode & 0o777)).toEqual([0o755, 0o755]);
});

test.each([
  ["run", "run", "other"],
  ["state", "other", "state"],
])(
  "a second supervisor with the same %s directory is refused with the pid of the first",
  async (shared, run, state) => {
    await make();
    const first = machine;
    await expect(make(run, state)).rejects.toThrow(
      `${join(directory, shared)}: another supervisor (pid ${process.pid}) uses this directory`,
    );
    machine = first;
  },
);

test("the cgroups of two run directories never have the same name", () => {
  const directories = ["/run/dmhost", "/run-dmhost", "/run/dm/host", "/run/dm-host", "/run/dm--host"];
  expect(cgroupName("/run/dmhost")).toBe("dmhost-run-dmhost");
  expect(new Set(directories.map(cgroupName)).size).toBe(directories.length);
});

test("a machine without cgroups costs a warning, and one with cgroups none", async () => {
  const { cgroups } = await make();
  const warned = lines.some((line) => line.startsWith("warn no cgroups: "));
  expect(warned).toBe(cgroups.path === undefined);
});

test("a shim of another build than the installed one costs a warning", async () => {
  const installed = resolve(import.meta.dirname, "../../../../shim/dmhost-shim");
  const script = `#!/bin/sh\n[ "$1" != -e ] || exec echo 1\nexec ${installed} "$@"\n`;
  writeFileSync(join(directory, "dmhost-shim"), script, { mode: 0o755 });
  const { shimOutdated } = await make(undefined, undefined, join(directory, "main.ts"));
  expect(shimOutdated).toBe(true);
  expect(lines.filter((line) => line.includes("another build of the shim"))).toHaveLength(1);
});

test("before a re-exec the records are written", async () => {
  const { ports, prepareReExec } = await make();
  const key = { owner: { name: "anna", uid: 4001, gid: 4001, home: "/", shell: "/bin/sh" }, name: "blog", instance: 1 };
  ports.records.slot(key).write(() => ({ state: {} }) as never);
  expect(existsSync(join(directory, "state/daemons/anna"))).toBe(false);
  prepareReExec();
  expect(ports.records.daemons("anna")).toEqual(["blog"]);
});

test("the remaining processes of all daemons can be killed without the shim", async () => {
  const { cgroups, killAll } = await make();
  const child = spawn("sleep", ["1000"]);
  const ended = once(child, "exit");
  if (cgroups.path === undefined) child.kill("SIGKILL");
  else {
    const group = join(cgroups.path, "anna");
    mkdirSync(group);
    writeFileSync(join(group, "cgroup.procs"), String(child.pid));
  }
  killAll();
  expect(await ended).toEqual([null, "SIGKILL"]);
  if (cgroups.path !== undefined) rmdirSync(join(cgroups.path, "anna"));
});

test("without a broker there are no containers, and a broker that cannot be reached costs one warning", async () => {
  expect((await make()).ports.machine.containerObjection).toMatch(/^containers are not enabled here/);
  machine?.release();
  const socket = join(directory, "broker.sock");
  const { ports } = await make("other", "others", undefined, ["--broker", socket]);
  expect(ports.machine.containerObjection).toBeUndefined();
  const warned = () => lines.filter((line) => line.includes("no containers"));
  await vi.waitFor(() => expect(warned()).toHaveLength(1), { timeout: 30_000 });
  expect(ports.runs.found({ owner: { name: "anna" }, name: "blog" })).toEqual([]);
  const key = { owner: { name: "anna", uid: 4001, gid: 4001, home: "/", shell: "/bin/sh" }, name: "blog", instance: 1 };
  const slot = ports.runs.slot(key);
  expect([slot.groups(), slot.finishing(), slot.notifyPath.startsWith(directory)]).toEqual([[], undefined, true]);
  ports.records.slot(key).write(() => ({ state: {} }) as never);
  machine?.prepareReExec();
  expect(existsSync(join(directory, "others/daemons/anna"))).toBe(true);
});
