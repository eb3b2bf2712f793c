/** chroot=: a daemon's identity in a real jail, and attempts to use the jail to become root or another account. */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { writeService } from "./daemontools/service-tree.ts";
import {
  argumentsOf,
  descriptorsOf,
  environmentOf,
  isRunning,
  limitsOf,
  niceOf,
  numbersOf,
  statusOf,
  ticksOf,
} from "./proc.ts";
import { run, succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let carl: Account;
let extra: number;
let supervisor: Supervisor;
let rootsJail: string;

const APPLETS = ["sh", "sleep", "id", "ls", "cat", "chroot", "mkdir", "test", "nc"];

/** Makes a jail with Debian's static busybox that belongs to this account; returns its path. */
const makeJail = async (account: Account, path: string): Promise<string> => {
  const jail = account.makeDirectory(path);
  for (const part of ["bin", "srv", "tmp"]) account.makeDirectory(`${path}/${part}`);
  await succeed("cp", "/bin/busybox", `${jail}/bin/busybox`);
  for (const applet of APPLETS) await succeed("ln", "-sf", "busybox", `${jail}/bin/${applet}`);
  await succeed("chown", "-hR", `${account.uid}:${account.gid}`, jail);
  await succeed("chmod", "0755", jail);
  return jail;
};

/** Copies a program of this machine and its libraries into a jail; they belong to root. */
const addProgram = async (jail: string, program: string): Promise<void> => {
  const libraries = (await succeed("ldd", program)).matchAll(/(\/\S+) \(/g);
  for (const file of [program, ...[...libraries].map(([, path = ""]) => path)]) {
    const target = join(jail, file);
    await succeed("mkdir", "-p", join(target, ".."));
    copyFileSync(file, target);
    chmodSync(target, 0o755);
  }
};

beforeAll(async () => {
  stage = await Stage.make();
  extra = await stage.group("extra");
  alice = await stage.account("alice", "extra");
  bob = await stage.account("bob");
  carl = await stage.account("carl");
  supervisor = stage.supervisor("main", ["[runs_as]", `${alice.name}: ${carl.name}`, bob.name]);
  await makeJail(alice, "jail");
  rootsJail = `${stage.directory}/jail`;
  await succeed("cp", "-a", `${alice.home}/jail`, rootsJail);
  await succeed("chown", "-hR", "0:0", rootsJail);
  await succeed("chmod", "-R", "a+rX", rootsJail);
  const rootsOwn = `${stage.directory}/root-daemons`;
  mkdirSync(rootsOwn, { mode: 0o755 });
  writeFileSync(`${rootsOwn}/jailed.conf`, `chroot = ${rootsJail}\nstart = exec sleep 1000\n`);
  await supervisor.start();
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;
const write = async (name: string, ...lines: string[]): Promise<void> => {
  alice.writeConf(name, "autostart = no", ...lines);
  await supervisor.rescan();
};
const up = async (name: string, ...lines: string[]): Promise<number> => {
  await write(name, "start = exec sleep 1000", ...lines);
  const { pid } = await supervisor.up(idOf(name));
  await until(`${name} to exec its program`, () => argumentsOf(pid)[0]?.endsWith("sleep"));
  return pid;
};
/** Runs a line within a jail to its end; returns what it wrote to /tmp/out there. */
const within = async (name: string, jail: string, line: string, ...lines: string[]): Promise<string> => {
  await write(name, `chroot = ${jail}`, `start = { ${line}; } >/tmp/out 2>&1; exit 100`, ...lines);
  await supervisor.act("start", idOf(name));
  await supervisor.reaches(idOf(name), "failed");
  return readFileSync(`${jail.replace("~", alice.home)}/tmp/out`, "utf8");
};
const refusal = async (name: string, ...lines: string[]): Promise<string> => {
  await write(name, "max-retries = 0", "start = exec sleep 1000", ...lines);
  const { ok, reason } = await supervisor.act("start", idOf(name));
  expect(ok).toBe(false);
  return reason.replaceAll(alice.home, "~").replace(`cannot start "${idOf(name)}": `, "");
};

const expectPowerless = (pid: number): void => {
  const status = statusOf(pid);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
    expect([set, status.get(set)]).toEqual([set, "0".repeat(16)]);
  expect(status.get("NoNewPrivs")).toBe("1");
};

test("a daemon in a jail has its account's ids, no capabilities, only descriptors 0 to 2, and dir= within the jail", async () => {
  const pid = await up("plain", "chroot = ~/jail", "dir = /srv", "nice = 3", "umask = 077", "open-files = 50");
  expect(readlinkSync(`/proc/${pid}/root`)).toBe(`${alice.home}/jail`);
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe(`${alice.home}/jail/srv`);
  expect(numbersOf(pid, "Uid")).toEqual(Array(4).fill(alice.uid));
  expect(numbersOf(pid, "Gid")).toEqual(Array(4).fill(alice.gid));
  expect(numbersOf(pid, "Groups")).toEqual([alice.gid, extra].sort((a, b) => a - b));
  expectPowerless(pid);
  expect([...descriptorsOf(pid).keys()]).toEqual([0, 1, 2]);
  expect([niceOf(pid), statusOf(pid).get("Umask"), limitsOf(pid)["Max open files"]]).toEqual([3, "0077", "50 50"]);
});

test("root's own daemon in a jail has no capabilities either", async () => {
  const { pid } = await supervisor.reaches("root/jailed", "running");
  expect([readlinkSync(`/proc/${pid}/root`), numbersOf(pid, "Uid")]).toEqual([rootsJail, [0, 0, 0, 0]]);
  expectPowerless(pid);
});

test("a tenant's daemon can use a jail that belongs to root", async () => {
  const pid = await up("roots", `chroot = ${rootsJail}/`);
  expect(readlinkSync(`/proc/${pid}/root`)).toBe(rootsJail);
  expectPowerless(pid);
});

test("a daemon in a jail sees no file outside and cannot leave by .. or chroot(2)", async () => {
  const attempts = "ls /; cat /../../../../../etc/passwd; mkdir /tmp/deep; chroot /tmp/deep /bin/busybox id; id -u";
  const output = await within("prisoner", "~/jail", attempts);
  expect(output).toMatch(/^bin\nsrv\ntmp\n/);
  expect(output).toContain("/etc/passwd': No such file or directory");
  expect(output).toMatch(/chroot: .*Operation not permitted/);
  expect(output.trimEnd().split("\n").at(-1)).toBe(`${alice.uid}`);
});

test("a daemon in a jail has its log, its socket and its env-dir, also in the next run", async () => {
  alice.write("env/FROM", "dir\n");
  await write(
    "full",
    "chroot = ~/jail",
    "listen = fastcgi",
    "output = log",
    "env-dir = ~/env",
    'start = echo "$FROM"; exec sleep 1000',
  );
  const { pid } = await supervisor.up(idOf("full"));
  await until("the daemon to exec its program", () => argumentsOf(pid)[0]?.endsWith("sleep"));
  expect(environmentOf(pid)).toMatchObject({ FROM: "dir", HOME: alice.home, USER: alice.name });
  expect(Object.keys(environmentOf(pid)).filter((name) => name.startsWith("DMHOST"))).toEqual([]);
  expect(descriptorsOf(pid).get(0)).toMatch(/^socket:/);
  const log = `${alice.home}/.daemon-manager/logs/full/current`;
  await until(
    "the daemon's line in the log",
    () => lstatSync(log, { throwIfNoEntry: false }) && / dir$/m.test(readFileSync(log, "utf8")),
  );
  process.kill(pid, "SIGKILL");
  const next = await supervisor.reaches(idOf("full"), "running", pid);
  await until("the next run to exec its program", () => argumentsOf(next.pid)[0]?.endsWith("sleep"));
  expect(readlinkSync(`/proc/${next.pid}/root`)).toBe(`${alice.home}/jail`);
  expectPowerless(next.pid);
  await supervisor.act("stop", idOf("full"));
});

test("no program of the launch chain that still has capabilities sees a tenant's variable", async () => {
  const loader = ["LD_DEBUG = files", `LD_DEBUG_OUTPUT = ${alice.home}/loaded`, "LD_PRELOAD = /nowhere.so"];
  alice.write("loader.env", loader.join("\n"));
  await up("loader", "chroot = ~/jail", "env-file = ~/loader.env", ...loader.map((line) => `export ${line}`));
  expect(await succeed("sh", "-c", `ls ${alice.home} | grep ^loaded || :`)).toBe("");
});

test("a set-uid root program in a jail runs as the tenant", async () => {
  const jail = await makeJail(alice, "setuid");
  await addProgram(jail, "/usr/bin/id");
  chownSync(`${jail}/usr/bin/id`, 0, 0);
  chmodSync(`${jail}/usr/bin/id`, 0o4755);
  const control = await run(["chroot", `--userspec=${alice.uid}:${alice.gid}`, jail, "/usr/bin/id"]);
  expect(control.stdout).toMatch(/euid=0/);
  const output = await within("setuid", "~/setuid", "/usr/bin/id");
  expect(output).toMatch(new RegExp(`^uid=${alice.uid} `));
  expect(output).not.toContain("euid");
});

test("a program planted in a jail as its shell never runs with capabilities, and one in place of a tool never runs", async () => {
  const jail = await makeJail(alice, "planted");
  const spy = [
    "#!/bin/busybox sh",
    `/bin/busybox echo "$0 $(/bin/busybox id -u)" >>/tmp/who`,
    "/bin/busybox chroot / /bin/busybox true 2>&- && /bin/busybox echo $0 could >>/tmp/who",
    `exec /bin/busybox sh "$@"`,
  ].join("\n");
  await succeed("rm", `${jail}/bin/sh`);
  const planted = ["bin/sh", "usr/bin/setpriv", "usr/sbin/capsh", "usr/bin/prlimit", "usr/bin/perl", "usr/bin/stat"];
  for (const path of planted) alice.write(`planted/${path}`, spy, 0o755);
  alice.write("planted.env", "A=1");
  const pid = await up("planted", "chroot = ~/planted", "env-file = ~/planted.env", "limit-core = 0");
  expectPowerless(pid);
  const who = readFileSync(`${jail}/tmp/who`, "utf8").trimEnd().split("\n");
  expect(who).toEqual([`/bin/sh ${alice.uid}`]);
});

test.each<[string, string, () => Promise<unknown> | unknown, string]>([
  ["does not exist", "~/nowhere", () => undefined, "no such directory, or no permission to reach it"],
  ["is a file", "~/file", () => alice.write("file", ""), "not a directory"],
  [
    "others may write to",
    "~/loose",
    async () => chmodSync(await makeJail(alice, "loose"), 0o757),
    "accounts other than its owner may write to ~/loose (mode 757)",
  ],
  [
    "its group may write to",
    "~/shared",
    async () => chmodSync(await makeJail(alice, "shared"), 0o775),
    "accounts other than its owner may write to ~/shared (mode 775)",
  ],
  [
    "has a parent directory that others may write to",
    "~/open/in/jail",
    async () => {
      await makeJail(alice, "open/in/jail");
      chmodSync(`${alice.home}/open`, 0o1777);
    },
    "accounts other than its owner may write to ~/open (mode 1777)",
  ],
  [
    "is a link",
    "~/link",
    () => succeed("ln", "-sfn", `${alice.home}/jail`, `${alice.home}/link`),
    "a symlink leads there; write chroot=~/jail",
  ],
  [
    "is a link to /",
    "~/world",
    () => succeed("ln", "-sfn", "/", `${alice.home}/world`),
    "a symlink leads there; write chroot=/",
  ],
])("a launch into a jail that %s fails with the reason", async (_name, path, make, why) => {
  await make();
  const name = path.slice(2).replaceAll("/", "-");
  expect(await refusal(name, `chroot = ${path}`)).toBe(`entering the jail ${path}: ${why}`);
});

test("a launch into another tenant's jail, or into a directory below it, fails with the reason", async () => {
  const theirs = await makeJail(bob, "jail");
  chmodSync(bob.home, 0o755);
  const mine = `${theirs}/srv/mine`;
  mkdirSync(mine);
  chownSync(mine, alice.uid, alice.gid);
  chmodSync(`${theirs}/srv`, 0o755);
  for (const path of [theirs, mine]) {
    const reason = await refusal("theirs", `chroot = ${path}`);
    expect(reason).toBe(`entering the jail ${path}: ${bob.home} belongs to neither root nor the daemon's owner`);
  }
});

test("a warning of the jail's shell does not fail the launch", async () => {
  const jail = await makeJail(alice, "warning");
  await addProgram(jail, "/bin/bash");
  await write(
    "warning",
    "chroot = ~/warning",
    "shell = /bin/bash",
    "export LC_ALL = xx_XX",
    "output = log",
    "start = exec sleep 1000",
  );
  await supervisor.up(idOf("warning"));
  const log = `${alice.home}/.daemon-manager/logs/warning/current`;
  await until("the shell's warning in the log", () =>
    readFileSync(log, "utf8").includes("cannot change locale (xx_XX)"),
  );
});

test("a launch into a jail that belongs to the run-as account instead of the owner fails with the reason", async () => {
  await makeJail(carl, "jail");
  chmodSync(carl.home, 0o755);
  const reason = await refusal("lent", `chroot = ${carl.home}/jail`, `user = ${carl.name}`);
  expect(reason).toBe(
    `entering the jail ${carl.home}/jail: ${carl.home} belongs to neither root nor the daemon's owner`,
  );
});

test("run and finish of a service directory with chroot= start within the jail, and log/run stays outside", async () => {
  const jail = await makeJail(alice, "held");
  const inside = `${jail}/service/web`;
  writeService(
    inside,
    {
      run: "#!/bin/sh\necho $PWD; ls /; exec sleep 1000\n",
      finish: "#!/bin/sh\necho $PWD $* >/tmp/finished\n",
      conf: "autostart = no\nchroot = ~/held\n",
      "log/run": `#!/bin/sh\ncd ${alice.home} && pwd >logger && exec cat >>logged\n`,
    },
    alice,
  );
  writeService(`${alice.home}/service`, { web: `-> ${inside}` }, alice);
  await supervisor.rescan();
  const { pid } = await supervisor.up(idOf("web"));
  await until("the daemon to exec its program", () => argumentsOf(pid)[0]?.endsWith("sleep"));
  expect([readlinkSync(`/proc/${pid}/root`), readlinkSync(`/proc/${pid}/cwd`)]).toEqual([jail, inside]);
  expectPowerless(pid);
  const text = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
  await until(
    "the daemon's lines in the log",
    () => text(`${alice.home}/logged`) === "/service/web\nbin\nservice\nsrv\ntmp\n",
  );
  expect(text(`${alice.home}/logger`)).toBe(`${alice.home}\n`);
  await supervisor.act("stop", idOf("web"));
  expect(text(`${jail}/tmp/finished`)).toBe("/service/web 256 15\n");
  // The same files at another path in the jail are a changed definition.
  await supervisor.up(idOf("web"));
  renameSync(inside, `${jail}/service/moved`);
  rmSync(`${alice.home}/service/web`);
  writeService(`${alice.home}/service`, { web: `-> ${jail}/service/moved` }, alice);
  await supervisor.rescan();
  expect((await supervisor.status(idOf("web"))).configChanged).toBe(true);
  const { daemon: moved } = await supervisor.act("restart", idOf("web"));
  await until("the daemon to exec its program", () => argumentsOf(moved.pid)[0]?.endsWith("sleep"));
  expect(readlinkSync(`/proc/${moved.pid}/cwd`)).toBe(`${jail}/service/moved`);
  // The directory in which finish should have started is gone.
  expect(supervisor.text()).toContain("no such directory");
  await supervisor.act("stop", idOf("web"));
});

test("a service directory outside its jail is invalid, and the problem names the line of chroot=", async () => {
  const directory = writeService(
    `${alice.home}/service/outside`,
    { run: "#!/bin/sh\nexec sleep 1000\n", conf: "# in a jail\nchroot = ~/jail\n" },
    alice,
  );
  const { problems } = await supervisor.rescan();
  const why = "chroot: expected a jail that contains the service directory, because run starts in the jail:";
  expect(problems).toContainEqual(expect.stringContaining(`${directory}/conf:2: ${why} ${directory} is not below`));
  expect((await supervisor.status(idOf("outside"))).state).toBe("invalid");
});

/** Makes a jail whose shell is this program. */
const plantShell = async (name: string, text: string): Promise<void> => {
  const jail = await makeJail(alice, name);
  await succeed("rm", `${jail}/bin/sh`);
  alice.write(`${name}/bin/sh`, `#!/bin/busybox sh\n${text}\n`, 0o755);
};

test("a jail's shell cannot write to the launch report: nothing of the launch is open in it", async () => {
  await plantShell("flooding", "trap '' PIPE; while :; do echo ~noise >&3; done");
  await write("flooding", "chroot = ~/flooding", "start = exec sleep 1000", "nice = 19");
  await supervisor.act("start", idOf("flooding"));
  const { pid } = await supervisor.reaches(idOf("flooding"), "running");
  const own = ticksOf(pid);
  await until("CPU time of the shell", () => ticksOf(pid) > own);
  expect([...descriptorsOf(pid).values()].filter((file) => !file.startsWith("/"))).toEqual([]);
  await supervisor.act("stop", idOf("flooding"));
});

test("a daemon whose jail's shell keeps the launch report open still becomes running", async () => {
  await plantShell("keeping", "exec /bin/busybox sleep 1000");
  await write("keeping", "chroot = ~/keeping", "start = exec sleep 1000");
  const starting = supervisor.act("start", idOf("keeping"));
  const { pid } = await until(
    "running",
    async () => {
      const status = await supervisor.status(idOf("keeping"));
      return status.state === "running" && status;
    },
    50,
  );
  expect(isRunning(pid)).toBe(true);
  await starting;
  await supervisor.act("stop", idOf("keeping"));
});

test("a launch into a jail without the shell or without dir= fails with the stage as the reason", async () => {
  const bare = await makeJail(alice, "bare");
  await succeed("rm", `${bare}/bin/sh`);
  expect(await refusal("bare", "chroot = ~/bare")).toBe(
    "running the shell within the jail: program not found or not executable: /bin/sh",
  );
  expect(await refusal("lost", "chroot = ~/jail", "dir = /nowhere")).toBe(
    "entering /nowhere: no such directory, or no permission to reach it",
  );
});

test("a daemon never escapes its jail while a link and the jail are swapped again and again", async () => {
  const [jail, away, open] = ["swap", "swap.away", "swap.link"].map((name) => `${alice.home}/${name}`);
  await makeJail(alice, "swap");
  await succeed(...alice.become, "ln", "-s", "/", `${open}`);
  await write("swapped", "chroot = ~/swap", "max-retries = 0", "start = exec sleep 1000");
  const swaps = alice.run([
    "sh",
    "-c",
    `while [ ! -e ${alice.home}/enough ]; do mv ${jail} ${away}; mv ${open} ${jail}; mv ${jail} ${open}; mv ${away} ${jail}; done`,
  ]);
  const roots: string[] = [];
  try {
    for (let round = 0; round < 12; round += 1) {
      const { ok, daemon } = await supervisor.act("start", idOf("swapped"));
      if (ok) roots.push(readlinkSync(`/proc/${daemon.pid}/root`));
      await supervisor.act("stop", idOf("swapped"));
    }
  } finally {
    alice.write("enough", "");
    await swaps;
  }
  expect(roots.filter((root) => root === "/")).toEqual([]);
});
