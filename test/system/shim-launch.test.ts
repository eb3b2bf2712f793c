/** Launches by the shim: what a process gets, and how each stage fails. */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ShimPlan } from "../../apps/supervisor/src/os/shim/plan.ts";
import type { Account } from "./account.ts";
import { nameFor } from "./account.ts";
import { removeCgroups } from "./cgroup.ts";
import {
  argumentsOf,
  descriptorsOf,
  environmentOf,
  isRunning,
  kill,
  limitsOf,
  niceOf,
  numbersOf,
  sessionOf,
  statusOf,
} from "./proc.ts";
import { run, succeed, until } from "./program.ts";
import { buildShim, lineOf, ShimProgram } from "./shim-program.ts";
import { Stage } from "./stage.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let extra: number;
let shim: ShimProgram;
let program: string;
const CGROUP = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((each) => existsSync(`${each}/cgroup.procs`));

beforeAll(async () => {
  stage = await Stage.make();
  extra = await stage.group("extra");
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  program = await buildShim(stage.directory);
  shim = new ShimProgram(program, `${stage.directory}/shim.sock`);
  await shim.start();
  shim.ask.hold("log", { path: `${stage.directory}/log`, uid: alice.uid, gid: 0, mode: 0o660 });
  const web = { path: `${stage.directory}/web.sock`, uid: 0, gid: extra, mode: 0o660, backlog: 16 };
  shim.ask.listen("web", web);
});
afterAll(async () => {
  await ShimProgram.removeAll();
  await removeCgroups((name) => name === nameFor("shim"));
  await stage.remove();
});

const sleeping = (change: Partial<ShimPlan> = {}): ShimPlan => lineOf("exec sleep 1000", alice, change);
const CAPABILITIES = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] as const;
const capabilitiesOf = (pid: number): bigint[] =>
  CAPABILITIES.map((each) => BigInt(`0x${statusOf(pid).get(each) ?? "f"}`));
/** Waits until a process has executed this program. */
const executes = (pid: number, word: string): Promise<boolean> =>
  until(`the program ${word}`, () => argumentsOf(pid)[0] === word);

test("a run gets the ids and groups of its account alone, no capability and no way to new privileges", async () => {
  const groups = [alice.gid, extra];
  const pid = await shim.up("ids", sleeping({ account: { uid: alice.uid, gid: alice.gid, groups } }));
  await executes(pid, "sleep");
  expect(new Set(numbersOf(pid, "Uid"))).toEqual(new Set([alice.uid]));
  expect(new Set(numbersOf(pid, "Gid"))).toEqual(new Set([alice.gid]));
  expect(numbersOf(pid, "Groups")).toEqual(groups.toSorted((a, b) => a - b));
  expect(capabilitiesOf(pid)).toEqual([0n, 0n, 0n, 0n, 0n]);
  expect(statusOf(pid).get("NoNewPrivs")).toBe("1");
  expect([sessionOf(pid), statusOf(pid).get("SigBlk"), statusOf(pid).get("SigIgn")]).toEqual([
    pid,
    "0".repeat(16),
    "0".repeat(16),
  ]);
  await shim.kill("ids");
});

test("a run of root keeps its capabilities only where its plan says so", async () => {
  const root = { uid: 0, gid: 0, groups: [0] };
  const without = await shim.up("without", sleeping({ account: root }));
  const keeping = await shim.up("keeping", sleeping({ account: { ...root, keeps: true } }));
  await executes(without, "sleep");
  await executes(keeping, "sleep");
  expect(capabilitiesOf(without)).toEqual([0n, 0n, 0n, 0n, 0n]);
  const [inherited, permitted, , bounding] = capabilitiesOf(keeping);
  expect([inherited, permitted === bounding, statusOf(keeping).get("NoNewPrivs")]).toEqual([0n, true, "1"]);
  expect(bounding).not.toBe(0n);
  await shim.kill("without");
  await shim.kill("keeping");
});

test("a plan without an account is refused by a shim that is root", () => {
  const { account: _, ...plan } = sleeping();
  expect(() => shim.ask.launch("nobody", plan)).toThrow("EPERM");
  expect(shim.ask.list().filter(({ name }) => name === "nobody")).toEqual([]);
});

test("a run gets its umask, nice value, directory, environment and limits", async () => {
  const directory = alice.makeDirectory("site");
  const pid = await shim.up(
    "terms",
    sleeping({
      umask: 0o027,
      nice: 7,
      directory,
      environment: new Map([
        ["PATH", "/usr/bin:/bin"],
        ["A", "b=c d"],
      ]),
      limits: [
        { resource: "nofile", soft: 50, hard: 60 },
        { resource: "core", soft: 0, hard: "unlimited" },
      ],
    }),
  );
  await executes(pid, "sleep");
  expect([statusOf(pid).get("Umask"), niceOf(pid)]).toEqual(["0027", 7]);
  expect(limitsOf(pid)).toMatchObject({ "Max open files": "50 60", "Max core file size": "0 unlimited" });
  expect(environmentOf(pid)).toMatchObject({ A: "b=c d", PATH: "/usr/bin:/bin" });
  expect(await succeed("readlink", `/proc/${pid}/cwd`)).toBe(directory);
  await shim.kill("terms");
});

test("a run without limits gets those with which the shim was started", async () => {
  const pid = await shim.up("own-limits", sleeping());
  expect(limitsOf(pid)["Max open files"]).toBe(limitsOf(process.pid)["Max open files"]);
  await shim.kill("own-limits");
});

test("a run gets the descriptors of its plan and no others", async () => {
  const descriptors: ShimPlan["descriptors"] = new Map([
    [0, { kind: "socket", name: "web" }],
    [1, { kind: "fifo", name: "log" }],
    [2, { kind: "fifo", name: "log" }],
    [5, { kind: "input", name: "log" }],
    [6, { kind: "null", name: "" }],
  ]);
  const pid = await shim.up("descriptors", sleeping({ descriptors }));
  await executes(pid, "sleep");
  const found = descriptorsOf(pid);
  expect([...found.keys()]).toEqual([0, 1, 2, 5, 6]);
  expect(found.get(0)).toMatch(/^socket:/);
  expect([found.get(1), found.get(5), found.get(6)]).toEqual([
    `${stage.directory}/log`,
    `${stage.directory}/log`,
    "/dev/null",
  ]);
  await shim.kill("descriptors");
  const bare = await shim.up("bare", sleeping());
  await executes(bare, "sleep");
  expect([...descriptorsOf(bare)]).toEqual([0, 1, 2].map((fd) => [fd, "/dev/null"]));
  await shim.kill("bare");
});

test("a run whose socket is descriptor 3 gets its own pid as LISTEN_PID", async () => {
  const descriptors: ShimPlan["descriptors"] = new Map([[3, { kind: "socket", name: "web" }]]);
  const environment = new Map([
    ["PATH", "/usr/bin:/bin"],
    ["LISTEN_FDS", "1"],
    ["LISTEN_PID", "1"],
  ]);
  const pid = await shim.up("systemd", sleeping({ descriptors, environment, setsListenPid: true }));
  await executes(pid, "sleep");
  expect(environmentOf(pid)).toMatchObject({ LISTEN_FDS: "1", LISTEN_PID: `${pid}` });
  expect([...descriptorsOf(pid).keys()]).toEqual([0, 1, 2, 3]);
  await shim.kill("systemd");
});

test("a program of plain words is found in PATH and replaces the process without a shell", async () => {
  const pid = await shim.up("words", { ...sleeping({ directory: alice.home }), words: ["sleep", "1000"] });
  await executes(pid, "sleep");
  expect(environmentOf(pid)["PWD"]).toBe(alice.home);
  await shim.kill("words");
});

test("words that cannot be executed leave the report to the shell", async () => {
  const { end, failure } = await shim.finish("missing", {
    ...lineOf("exec nothing-here", alice),
    words: ["nothing-here"],
  });
  expect([failure, end?.code]).toEqual([undefined, 127]);
});

test.skipIf(CGROUP === undefined)("a run is in its cgroup from its first instruction on", async () => {
  const cgroup = `${CGROUP}/${nameFor("shim")}/run`;
  mkdirSync(cgroup, { recursive: true });
  const file = alice.write("group", "", 0o666);
  await shim.finish("grouped", lineOf(`exec cat /proc/self/cgroup >${file}`, alice, { cgroup }));
  expect(readFileSync(file, "utf8")).toContain(`0::/${nameFor("shim")}/run\n`);
});

/** Executes a program under a filter that answers clone3(2) with ENOSYS, as Docker's does. */
const WITHOUT_CLONE3 = `#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (count < 2 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return 1;
  execv(words[1], words + 1);
  return 1;
}
`;

test.skipIf(CGROUP === undefined)(
  "where clone3 is refused, a run joins its cgroup before it becomes the account",
  async () => {
    const filter = `${stage.directory}/without-clone3`;
    const compiled = await run(["cc", "-x", "c", "-o", filter, "-"], { input: WITHOUT_CLONE3 });
    expect(compiled).toMatchObject({ code: 0, stderr: "" });
    const other = new ShimProgram(program, `${stage.directory}/filtered.sock`, [filter]);
    await other.start();
    const cgroup = `${CGROUP}/${nameFor("shim")}/other`;
    mkdirSync(cgroup, { recursive: true });
    const file = alice.write("other", "", 0o666);
    await other.finish("grouped", lineOf(`exec cat /proc/self/cgroup >${file}`, alice, { cgroup }));
    expect(readFileSync(file, "utf8")).toContain(`0::/${nameFor("shim")}/other\n`);
    await other.remove();
  },
);

test("a run waits for its lock, shows that, and holds it on its descriptor until it ends", async () => {
  const lock = { path: `${alice.home}/lock`, descriptor: 9 };
  const first = await shim.up("first", sleeping({ lock, umask: 0 }));
  await executes(first, "sleep");
  expect(descriptorsOf(first).get(9)).toBe(lock.path);
  const { uid, mode } = lstatSync(lock.path);
  expect([uid, mode & 0o777]).toEqual([alice.uid, 0o600]);
  shim.ask.launch("second", sleeping({ lock }));
  const { state } = await shim.reaches("second", ({ waiting }) => waiting === `waits for the lock ${lock.path}`);
  expect(state).toBe("launching");
  await shim.kill("first");
  const second = await shim.reaches("second", (each) => each.state === "launched");
  expect(second.waiting).toBeUndefined();
  await shim.kill("second");
  expect((await run(["flock", "--nonblock", lock.path, "true"])).code).toBe(0);
});

test("another process of the account cannot trace a launch that has not reached its program", async () => {
  const lock = { path: `${alice.home}/traced`, descriptor: 9 };
  await shim.up("holder", sleeping({ lock }));
  shim.ask.launch("traced", sleeping({ lock }));
  const { pid } = await shim.reaches("traced", ({ waiting }) => waiting !== undefined);
  expect(await alice.run(["ls", `/proc/${pid}/fd`])).toMatchObject({ code: 2 });
  for (const name of ["traced", "holder"]) await shim.kill(name);
});

test("the variables that the reader prints become the environment of the run", async () => {
  const words = ["/bin/sh", "-c", `printf 'A=1\\0B=%s\\0' "$GIVEN"; id -u >&2`];
  const reader = { words, environment: new Map([["GIVEN", "two words"]]) };
  const pid = await shim.up("reader", { ...sleeping({ reader }), words: ["/bin/sleep", "1000"] });
  await executes(pid, "/bin/sleep");
  expect(environmentOf(pid)).toEqual({ A: "1", B: "two words", PWD: "/" });
  await shim.kill("reader");
});

test("the reader of variables runs as the account, with descriptors for its output alone", async () => {
  const file = alice.write("reader", "", 0o666);
  const words = ["/bin/sh", "-c", `id -u >${file}; exec ls /proc/self/fd >>${file}`];
  await shim.finish("reader-ids", lineOf("exit 0", alice, { reader: { words, environment: new Map() } }));
  // The last one is the directory that ls reads.
  expect(readFileSync(file, "utf8").trim().split("\n")).toEqual([`${alice.uid}`, "0", "1", "2", "3", "4"]);
});

const reading = (script: string): Partial<ShimPlan> => ({
  reader: { words: ["/bin/sh", "-c", script], environment: new Map() },
});

test.each<[string, string, () => Partial<ShimPlan>]>([
  [
    "no directory",
    "entering /no-such: no such directory, or no permission to reach it",
    () => ({ directory: "/no-such" }),
  ],
  ["a file as its directory", "entering /etc/passwd: not a directory", () => ({ directory: "/etc/passwd" })],
  ["a closed directory", "entering ~: permission denied", () => ({ directory: bob.home })],
  ["no shell", "running /bin/no-such: no such program, or no permission to run it", () => ({ shell: "/bin/no-such" })],
  ["a directory as its lock", "locking /tmp: is a directory", () => ({ lock: { path: "/tmp", descriptor: 9 } })],
  [
    "a lock in no directory",
    "locking /no/lock: directory nonexistent",
    () => ({ lock: { path: "/no/lock", descriptor: 9 } }),
  ],
  [
    "a lock that it may not write",
    "locking /etc/passwd: permission denied",
    () => ({ lock: { path: "/etc/passwd", descriptor: 9 } }),
  ],
  ["no cgroup", "joining cgroup: no such file or directory", () => ({ cgroup: "/no-such" })],
  [
    "a reader that fails",
    "reading env-file /x: /x: no",
    () => reading("printf '/x: no\\nreading env-file /x\\n' >&3; exit 111"),
  ],
  ["a reader without a report", "putting the variables together: the reader failed", () => reading("exit 1")],
  [
    "a reader that prints no variables",
    "putting the variables together: a variable is not NAME=value",
    () => reading("echo x"),
  ],
  [
    "a reader that prints too much",
    "putting the variables together: argument list too long",
    () => reading("exec cat /dev/zero"),
  ],
  [
    "too few descriptors for a program",
    "starting within limit-nofile: too many open files",
    () => ({ limits: [{ resource: "nofile", soft: 3, hard: 3 }] }),
  ],
])("a launch with %s fails with its stage and reason", async (_, expected, change) => {
  expect((await shim.refusal("failing", sleeping(change()))).replaceAll(bob.home, "~")).toBe(expected);
});

/** Makes a jail with Debian's static busybox. */
const makeJail = async (path: string): Promise<string> => {
  alice.makeDirectory(`${path}/bin`);
  await succeed("cp", "/bin/busybox", `${alice.home}/${path}/bin/busybox`);
  for (const applet of ["sh", "ls", "cat"])
    await succeed("ln", "-sf", "busybox", `${alice.home}/${path}/bin/${applet}`);
  return `${alice.home}/${path}`;
};
const jailed = (path: string, start: string, change: Partial<ShimPlan> = {}): ShimPlan =>
  lineOf(start, alice, { jail: { path, owner: alice.uid }, ...change });

test("a run in a jail has it as its root and no capability", async () => {
  const path = await makeJail("jail");
  const pid = await shim.up(
    "jailed",
    jailed(path, "exec busybox sleep 1000", { environment: new Map([["PATH", "/bin"]]) }),
  );
  await executes(pid, "busybox");
  expect(await succeed("readlink", `/proc/${pid}/root`)).toBe(path);
  expect(capabilitiesOf(pid)).toEqual([0n, 0n, 0n, 0n, 0n]);
  await shim.kill("jailed");
});

test.each<[string, string, () => Promise<string>, string]>([
  ["does not exist", "none", async () => `${alice.home}/none`, "no such directory, or no permission to reach it"],
  ["is a file", "file", async () => alice.write("file", ""), "not a directory"],
  [
    "is a link",
    "link",
    async () => {
      symlinkSync(await makeJail("target"), `${alice.home}/link`);
      return `${alice.home}/link`;
    },
    "a symlink leads there; write chroot=~/target",
  ],
  [
    "is reached by a link",
    "link",
    async () => {
      await makeJail("way/jail");
      symlinkSync(`${alice.home}/way`, `${alice.home}/short`);
      return `${alice.home}/short/jail`;
    },
    "a symlink leads there; write chroot=~/way/jail",
  ],
  [
    "others may write to",
    "open",
    async () => {
      const path = await makeJail("open");
      chmodSync(path, 0o775);
      return path;
    },
    "accounts other than its owner may write to ~/open (mode 775)",
  ],
  [
    "has a parent that belongs to another account",
    "theirs",
    async () => {
      const path = await makeJail("theirs/jail");
      chownSync(`${alice.home}/theirs`, bob.uid, bob.gid);
      chmodSync(`${alice.home}/theirs`, 0o755);
      return path;
    },
    "~/theirs belongs to neither root nor the daemon's owner",
  ],
])("a launch into a jail that %s fails with the reason", async (_, __, make, why) => {
  const path = await make();
  const found = await shim.refusal("jail", jailed(path, "exit 0"));
  expect(found.replaceAll(alice.home, "~")).toBe(`entering the jail ${path}: ${why}`.replaceAll(alice.home, "~"));
});

test("a launch into a jail without its shell or its directory fails with the stage as the reason", async () => {
  const path = await makeJail("small");
  expect(await shim.refusal("shell", jailed(path, "exit 0", { shell: "/bin/bash" }))).toBe(
    "running the shell within the jail: program not found or not executable: /bin/bash",
  );
  expect(await shim.refusal("nowhere", jailed(path, "exit 0", { directory: "/nowhere" }))).toBe(
    "entering /nowhere: no such directory, or no permission to reach it",
  );
});

test("a shim that is not root launches as its own account, sets no_new_privs, and cannot become another", async () => {
  const own = new ShimProgram(program, `${alice.home}/shim.sock`, alice.become, alice.uid);
  await own.start();
  const pid = await own.up("mine", lineOf("exec sleep 1000"));
  expect([new Set(numbersOf(pid, "Uid")), statusOf(pid).get("NoNewPrivs")]).toEqual([new Set([alice.uid]), "1"]);
  expect(await own.refusal("other", lineOf("exit 0", bob))).toBe("becoming the account: operation not permitted");
  await own.remove();
});

test("with many held sockets a launch is the same, and keeps none of them", async () => {
  const many = new ShimProgram(program, `${stage.directory}/many.sock`);
  await many.start();
  const held = 1100;
  for (let index = 0; index < held; index += 1) {
    const path = `${stage.directory}/many${index}.sock`;
    many.ask.listen(`many ${index}`, { path, uid: 0, gid: extra, mode: 0o660, backlog: 16 });
  }
  const before = descriptorsOf(many.pid);
  const cgroup = CGROUP && `${CGROUP}/${nameFor("shim")}/many`;
  if (cgroup !== undefined) mkdirSync(cgroup, { recursive: true });
  const pid = await many.up(
    "run",
    lineOf("echo >&7; exec sleep 1000", alice, {
      cgroup,
      deathSignal: 15,
      readyDescriptor: 7,
      descriptors: new Map([[5, { kind: "socket", name: `many ${held - 1}` }]]),
    }),
  );
  await executes(pid, "sleep");
  const socket = before.get(Math.max(...before.keys()));
  expect(statusOf(pid).get("PPid")).toBe(String(many.pid));
  expect([...descriptorsOf(pid).keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 5, 7]);
  expect(descriptorsOf(pid).get(5)).toBe(socket);
  await until("its readiness", () => many.runs.get("run")?.ready);
  // The reports have ended: nothing else of the launch is left in the shim.
  expect(descriptorsOf(many.pid)).toEqual(before);
  expect(readFileSync(`/proc/${many.pid}/task/${many.pid}/children`, "utf8")).toBe(`${pid} `);
  if (cgroup !== undefined) expect(readFileSync(`${cgroup}/cgroup.procs`, "utf8")).toBe(`${pid}\n`);
  const refused = await many.refusal("failing", sleeping({ directory: "/no-such" }));
  expect(refused).toContain("/no-such");
  kill(many.pid);
  await until("its end by the death signal", () => !isRunning(pid));
  await many.remove();
});
