/** A process's environment: nice, umask, limits, variables from files; and the values that are refused. */
import { existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import type { Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, descriptorsOf, environmentOf, isRunning, limitsOf, niceOf, numbersOf, statusOf } from "./proc.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let bob: Account;
let supervisor: Supervisor;
let innocent: number;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  bob = await stage.account("bob");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name, bob.name]);
  bob.writeConf("innocent", "start = exec sleep 1000");
  const rootsOwn = `${stage.directory}/root-daemons`;
  mkdirSync(rootsOwn, { mode: 0o755 });
  writeFileSync(`${rootsOwn}/eager.conf`, "nice = -5\nstart = exec sleep 1000\n");
  writeFileSync(`${rootsOwn}/lent.conf`, `nice = -5\nuser = ${bob.name}\nstart = exec sleep 1000\n`);
  await supervisor.start();
  innocent = (await supervisor.reaches(`${bob.name}/innocent`, "running")).pid;
});
afterAll(() => stage.remove());

const idOf = (name: string): string => `${alice.name}/${name}`;

/** Writes a conf file; without a `start` line the daemon sleeps. */
const write = async (name: string, ...lines: string[]): Promise<void> => {
  const start = lines.some((line) => line.startsWith("start")) ? [] : ["start = exec sleep 1000"];
  alice.writeConf(name, "autostart = no", ...start, ...lines);
  await supervisor.rescan();
};
const up = async (name: string, ...lines: string[]): Promise<number> => {
  await write(name, ...lines);
  const { pid } = await supervisor.up(idOf(name));
  await until(`${name} to exec its program`, () => argumentsOf(pid)[0]?.endsWith("sleep"));
  return pid;
};
const refusal = async (name: string, ...lines: string[]): Promise<string> => {
  await write(name, "max-retries = 0", ...lines);
  const { ok, reason, advice } = await supervisor.act("start", idOf(name));
  expect([ok, advice]).toEqual([false, expect.stringMatching(/=|keys/)]);
  return reason.replaceAll(alice.home, "~").replace(`cannot start "${idOf(name)}": `, "");
};

test("a daemon has the nice value and umask of its conf file, by default the supervisor's nice value and 022", async () => {
  const [given, bare] = [await up("given", "nice = 7", "umask = 027"), await up("bare")];
  expect([niceOf(given), statusOf(given).get("Umask")]).toEqual([7, "0027"]);
  expect([niceOf(bare), statusOf(bare).get("Umask")]).toEqual([niceOf(supervisor.pid), "0022"]);
});

test("a start command that needs no shell runs and fails exactly as it would under /bin/sh", async () => {
  mkdirSync(`${alice.home}/real`);
  symlinkSync("real", `${alice.home}/link`);
  alice.write("real/sleeper", "#!/bin/sh\nexec sleep 1000\n", 0o755);
  alice.write("real/idle", "#!/bin/sh\nexec sleep 1000\n", 0o644);
  const [listen, dir, word] = ["listen = systemd", "dir = ~/link", "export WORD = a b"];
  const look = (pid: number) => ({
    arguments: argumentsOf(pid),
    variables: { ...environmentOf(pid), LISTEN_PID: "" },
    descriptors: [...descriptorsOf(pid).keys()].sort(),
    place: readlinkSync(`/proc/${pid}/cwd`),
  });
  const starts = ["sleep 1000", "./sleeper"];
  for (const [index, start] of starts.entries()) {
    const plain = look(await up(`plain${index}`, `start = exec ${start}`, listen, dir, word));
    expect(plain).toEqual(look(await up(`shell${index}`, `start = exec ${start};`, listen, dir, word)));
    expect(plain.variables).toMatchObject({ WORD: "a b", PWD: `${alice.home}/real` });
  }
  const failure = async (name: string, start: string): Promise<string> => {
    await write(name, `start = ${start}`, dir, "output = log", "max-retries = 0");
    const { reason } = await supervisor.act("start", idOf(name));
    const log = `${alice.home}/.daemon-manager/logs/${name}/current`;
    const text = await until(`the log of ${name}`, () => existsSync(log) && readFileSync(log, "utf8"));
    return `${reason.replace(name, "")} ${text.replace(/^\S+ /, "")}`;
  };
  for (const [index, start] of ["exec none", "exec ./none", "exec ./idle", "exec ."].entries()) {
    expect(await failure(`lost${index}`, start)).toBe(await failure(`missed${index}`, `${start};`));
  }
});

test("a negative nice value is allowed in root's daemons only", async () => {
  for (const name of ["eager", "lent"]) {
    const { pid } = await supervisor.reaches(`root/${name}`, "running");
    expect(niceOf(pid)).toBe(-5);
  }
  expect(numbersOf((await supervisor.status("root/lent")).pid, "Uid")).toEqual(Array(4).fill(bob.uid));
  await write("eager", "nice = -1");
  expect((await supervisor.act("start", idOf("eager"))).reason).toBe(
    `cannot start "${idOf("eager")}": ${alice.home}/${alice.conf("eager")}:3: nice: expected a whole number from 0 to 19, because only root's own daemons may have one below 0, found "-1"`,
  );
  expect((await supervisor.status(idOf("eager"))).state).toBe("invalid");
  expect(supervisor.starts(idOf("eager"))).toEqual([]);
});

test("a limit-nofile that is too low for any program fails the launch, and the advice names the key to correct", async () => {
  await write("tight", "max-retries = 0", "limit-nofile = 3");
  const { ok, reason, advice } = await supervisor.act("start", idOf("tight"));
  expect(ok).toBe(false);
  expect(reason).toBe(`cannot start "${idOf("tight")}": starting within limit-nofile: too many open files`);
  expect(advice).toContain("correct limit-nofile=");
});

test("a limit-as that is too low for a program's libraries shows in the last line of its log", async () => {
  await write("tight", "max-retries = 0", "output = log", "limit-as = 1M");
  const { ok, reason, lastLogLine } = await supervisor.act("start", idOf("tight"));
  expect([ok, reason]).toEqual([false, expect.stringContaining("exited with code 127")]);
  expect(lastLogLine).toContain("failed to map segment");
});

test("every limit-* key sets the soft and the hard rlimit", async () => {
  const pid = await up(
    "limited",
    "limit-data = 512M",
    "limit-stack = 1M:2M",
    "limit-lock = 16K",
    "limit-as = 1G:2G",
    "open-files = 64:128",
    "limit-nproc = 100:200",
    "limit-fsize = 10M",
    "limit-core = 0",
    "limit-rss = 64M:unlimited",
    "limit-cpu = 10m:1h",
  );
  expect(limitsOf(pid)).toMatchObject({
    "Max data size": "536870912 536870912",
    "Max stack size": "1048576 2097152",
    "Max locked memory": "16384 16384",
    "Max address space": "1073741824 2147483648",
    "Max open files": "64 128",
    "Max processes": "100 200",
    "Max file size": "10485760 10485760",
    "Max core file size": "0 0",
    "Max resident set": "67108864 unlimited",
    "Max cpu time": "600 3600",
  });
  expect(limitsOf(await up("bare"))).toEqual(limitsOf(supervisor.pid));
});

test("a process that writes a file beyond limit-fsize is ended", async () => {
  await write(
    "grower",
    "dir = ~/",
    "limit-fsize = 4096",
    "max-retries = 0",
    "start = exec dd if=/dev/zero of=grown bs=1K count=9",
  );
  await supervisor.act("start", idOf("grower"));
  await supervisor.reaches(idOf("grower"), "failed");
  expect(await succeed("stat", "-c", "%s", `${alice.home}/grown`)).toBe("4096");
});

test("a launch fails with a reason when a limit is above the supervisor's hard limit", async () => {
  const [, hard = ""] = (limitsOf(supervisor.pid)["Max open files"] ?? "").split(" ");
  const beyond = Number(hard) + 1;
  const expected = "setting limits: failed to set the NOFILE resource limit: operation not permitted";
  expect(await refusal("greedy", `limit-nofile = ${beyond}`)).toBe(expected);
  expect(await refusal("greedy", `limit-nofile = 5:${beyond}`)).toBe(expected);
  expect((await supervisor.status(idOf("greedy"))).state).toBe("failed");
});

test("explain shows nice, umask and limits as they are in effect", async () => {
  await up("shown", "nice = 3", "umask = 77", "open-files = 1K", "limit-cpu = 1h:unlimited");
  const { body } = await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf("shown"))}/explanation`);
  const { settings } = body as Explanation;
  expect(settings).toContainEqual({ key: "nice", value: "3", isDefault: false });
  expect(settings).toContainEqual({ key: "umask", value: "077", isDefault: false });
  expect(settings).toContainEqual({ key: "limit-nofile", value: "1024", isDefault: false });
  expect(settings).toContainEqual({ key: "limit-cpu", value: "1h:unlimited", isDefault: false });
  expect(settings).toContainEqual({ key: "limit-as", value: "the supervisor's own", isDefault: true });
});

describe("variables from files", () => {
  /** Writes files into the env-dir `~/<directory>`. */
  const writeVariables = (directory: string, files: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(files)) alice.write(`${directory}/${name}`, text);
  };

  test("env-dir is read by the rules of envdir(8)", async () => {
    writeVariables("env", {
      PLAIN: "one\ntwo\n",
      BLANKS: " \tkept \t \t\n",
      UNENDED: "no newline",
      EDITED: "elsewhere \t\r\n",
      LINES: "a\0b\0\n",
      BARE: "\n",
      SHELL: "",
      QUOTED: `"a" 'b' $(id) \`id\` \\n #x\n`,
      BYTES: "\u00e9\u001b[2J",
      ".HIDDEN": "1",
      "not-a-name": "1",
      LONG: `${"x".repeat(60_000)}\n${"y".repeat(200_000)}`,
    });
    const environment = environmentOf(await up("dir", "env-dir = ~/env", "export SHELL2 = /x"));
    expect(environment).toEqual({
      ...{ HOME: alice.home, LOGNAME: alice.name, USER: alice.name, PATH: "/usr/local/bin:/usr/bin:/bin", PWD: "/" },
      ...{
        PLAIN: "one",
        BLANKS: " \tkept",
        UNENDED: "no newline",
        EDITED: "elsewhere",
        LINES: "a\nb\n",
        BARE: "",
        SHELL2: "/x",
      },
      QUOTED: `"a" 'b' $(id) \`id\` \\n #x`,
      BYTES: Buffer.from("\u00e9\u001b[2J").toString("latin1"),
      LONG: "x".repeat(60_000),
    });
  });

  test("env-file has lines NAME=value, and quotes around a value are removed", async () => {
    const text = [
      "# a comment",
      "; another",
      "",
      "PLAIN=one",
      " \tSPACED \t= two words \t\r",
      `DOUBLE="a 'b' # c "`,
      "SINGLE='$HOME'",
      `HALF="x`,
      "EMPTY=",
      "EQUALS=a=b",
      "HASH=a # b",
      "PLAIN=again",
    ];
    alice.write("plain.env", text.join("\n"));
    expect(environmentOf(await up("file", "env-file = ~/plain.env"))).toMatchObject({
      PLAIN: "again",
      SPACED: "two words",
      DOUBLE: "a 'b' # c ",
      SINGLE: "$HOME",
      HALF: `"x`,
      EMPTY: "",
      EQUALS: "a=b",
      HASH: "a # b",
    });
  });

  test("a variable is taken from the last of: defaults, env-dir, env-file, export", async () => {
    writeVariables("order", { HOME: "dir\n", A: "dir\n", B: "dir\n", C: "dir\n", LOGNAME: "", USER: "", D: "" });
    alice.write("order.env", "B=file\nC=file\nUSER=file\n");
    const environment = environmentOf(
      await up("order", "env-dir = ~/order", "env-file = ~/order.env", "export C = export", "export D = export"),
    );
    expect(environment).toMatchObject({ HOME: "dir", A: "dir", B: "file", C: "export", D: "export", USER: "file" });
    expect(environment).not.toHaveProperty("LOGNAME");
  });

  test("env-dir is read at each launch", async () => {
    writeVariables("fresh", { WHEN: "first\n" });
    const first = await up("fresh", "listen = fastcgi", "env-dir = ~/fresh");
    expect(environmentOf(first)["WHEN"]).toBe("first");
    writeVariables("fresh", { WHEN: "second\n" });
    process.kill(first, "SIGKILL");
    const { pid } = await supervisor.reaches(idOf("fresh"), "running", first);
    await until("the daemon to exec its program", () => argumentsOf(pid)[0]?.endsWith("sleep"));
    expect(environmentOf(pid)["WHEN"]).toBe("second");
  });

  const inDirectory = (name: string, command: string): Promise<string> =>
    succeed(
      ...alice.become,
      "sh",
      "-c",
      `mkdir -p ~/h/${name} && cd ~/h/${name} && ${command}`.replaceAll("~", alice.home),
    );

  test.each([
    ["fifo", "mkfifo X", "/X: not a regular file"],
    ["device", "ln -s /dev/zero X", "/X: not a regular file"],
    ["directory", "mkdir X", "/X: not a regular file"],
    ["shadow", "ln -s /etc/shadow X", "/X: permission denied"],
    ["dangling", "ln -s /nowhere X", "/X: no such file or directory"],
    ["huge", "truncate -s 50G X", "/X: a line of more than 64 KiB"],
    ["equals", "touch A=B", ": the name A=B has a = in it"],
    ["odd", "touch 'A=: \u001b[31m'", ": the name A=???[31m has a = in it"],
    ["crowd", "seq -f V%g 1001 | xargs touch", ": more than 1000 files"],
  ])(
    "an env-dir with a hostile file (%s) fails the launch of its daemon and affects no other daemon",
    async (name, make, why) => {
      await inDirectory(name, make);
      expect(await refusal(`dir-${name}`, `env-dir = ~/h/${name}`)).toBe(`reading env-dir ~/h/${name}${why}`);
      expect(isRunning(innocent)).toBe(true);
    },
  );

  test.each([
    ["fifo", "mkfifo f", ": not a regular file"],
    ["device", "ln -s /dev/zero f", ": not a regular file"],
    ["huge", "truncate -s 50G f", ": more than 64 KiB"],
    ["missing", "true", ": no such file or directory"],
    ["line", "printf 'A=1\\nexport B=2\\n' >f", ": line 2 is not NAME=value"],
    ["nul", "printf 'A=1\\0\\n' >f", ": line 1 is not NAME=value"],
    ["shadow", "ln -s /etc/shadow f", ": permission denied"],
  ])("a bad env-file (%s) fails the launch of its daemon", async (name, make, why) => {
    await inDirectory(`f-${name}`, make);
    expect(await refusal(`file-${name}`, `env-file = ~/h/f-${name}/f`)).toBe(`reading env-file ~/h/f-${name}/f${why}`);
  });

  test.each([
    ["a variable of the launch itself", "DMHOST_VAR_Q=1", "the name DMHOST_VAR_Q is reserved for the launch"],
    [
      "a value with which /bin/sh cannot start",
      "OPTIND=x",
      "OPTIND is no number, and /bin/sh does not start with any other value",
    ],
  ])(
    "an env-file that sets %s fails the launch of its daemon, and the reason names the stage",
    async (_, line, why) => {
      alice.write("own.env", `Q=2\n${line}\n`);
      expect(await refusal("own", "env-file = ~/own.env")).toBe(`merging the variables: ${why}`);
      alice.write("own.env", "Q=2\nOPTIND=1\n");
      expect(environmentOf(await up("own", "env-file = ~/own.env"))).toMatchObject({ Q: "2", OPTIND: "1" });
      await supervisor.act("stop", idOf("own"));
    },
  );

  test("no stage before the daemon's own shell sees a variable of the tenant", async () => {
    alice.write("loader.env", `LD_DEBUG=files\nLD_DEBUG_OUTPUT=${alice.home}/loaded\n`);
    const pid = await up("loader", "env-file = ~/loader.env", "lock = ~/loader.lock", "limit-core = 0");
    const loaded = await succeed("sh", "-c", `ls ${alice.home} | grep ^loaded || :`);
    // The shell execs sleep, so both are one process.
    expect(loaded.split("\n")).toEqual([`loaded.${pid}`]);
    const text = await succeed("cat", `${alice.home}/loaded.${pid}`);
    expect([...text.matchAll(/initialize program: (.*)/g)].map(([, program]) => program)).toEqual(["/bin/sh", "sleep"]);
  });
});
