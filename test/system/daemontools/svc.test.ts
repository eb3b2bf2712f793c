/** `svc` and `svstat`: Debian's with its `supervise`, ours with our supervisor. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "../account.ts";
import { isRunning } from "../proc.ts";
import { run, until } from "../program.ts";
import { Stage } from "../stage.ts";
import type { Supervisor } from "../supervisor.ts";
import { fillToolbox } from "../toolbox.ts";
import { compare, copyTools, type Side } from "./comparison.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;
let tools: string;
let bin: string;
const supervising: ChildProcess[] = [];

/** A run that records its process id and the signals that it gets. */
const RECORDER = (file: string): string => `#!/bin/sh
for signal in HUP ALRM INT TERM; do trap "echo $signal >>${file}" "$signal"; done
echo $$ >${file}
while :; do sleep 3 & wait $!; done
`;

const services = (side: Side): string => (side === "old" ? join(stage.directory, "old") : join(alice.home, "service"));
const recordOf = (side: Side, name: string): string => join(services(side), `${name}.record`);
const record = (side: Side, name: string): string[] =>
  existsSync(recordOf(side, name)) ? readFileSync(recordOf(side, name), "utf8").trim().split("\n") : [];

/** Lines of each service's conf. */
const KEYS = {
  kept: "",
  lower: "autostart=no\n",
  stubborn: "stop-timeout=200ms\n",
  ending: "stop-timeout=200ms\n",
};
const NAMES = Object.keys(KEYS);

beforeAll(async () => {
  stage = await Stage.make();
  tools = copyTools(stage.directory);
  alice = await stage.account("alice");
  const toolbox = await fillToolbox(join(stage.directory, "bin"));
  bin = join(stage.directory, "bin");
  writeFileSync(join(bin, "dmctl"), `#!/bin/sh\nexec ${toolbox.node} ${toolbox.dmctl} "$@"\n`);
  chmodSync(join(bin, "dmctl"), 0o755);
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  for (const [name, keys] of Object.entries(KEYS)) {
    const old = join(services("old"), name);
    mkdirSync(old, { recursive: true });
    writeFileSync(join(old, "run"), RECORDER(recordOf("old", name)), { mode: 0o755 });
    if (name === "lower") writeFileSync(join(old, "down"), "");
    supervising.push(spawn("/usr/bin/supervise", [name], { cwd: services("old"), stdio: "ignore" }));
    alice.write(`service/${name}/run`, RECORDER(recordOf("ours", name)), 0o755);
    alice.write(`service/${name}/conf`, keys);
  }
  await supervisor.start();
});
afterAll(async () => {
  for (const name of NAMES) await run(["/usr/bin/svc", "-dkx", join(services("old"), name)]);
  for (const child of supervising) {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
  }
  await stage.remove();
});

/** Runs one side's svc or svstat. */
const tool = (side: Side, name: string, ...words: string[]) =>
  run([side === "old" ? `/usr/bin/${name}` : join(tools, name), ...words], {
    cwd: services(side),
    env: { PATH: `${bin}:/usr/bin:/bin`, DMCTL_SOCKET: supervisor.socket, HOME: "/root" },
  });

const stat = async (side: Side, ...names: string[]): Promise<string> =>
  (await tool(side, "svstat", ...names)).stdout.replaceAll(/\(pid \d+\) \d+ |down \d+ /g, (found) =>
    found.replaceAll(/\d+/g, "N"),
  );

const says = (side: Side, line: string, name: string) =>
  until(`"${line}" of ${side}`, async () => (await stat(side, name)) === `${line}\n`);

test("svstat prints services that are up or normally down under the directory names that it was given, as Debian's does", async () => {
  for (const side of ["old", "ours"] as const) {
    await until(`${side} up`, () => record(side, "kept").length > 0);
    await says(side, "kept: up (pid N) N seconds", "kept");
  }
  const { ours } = await compare((side) => stat(side, "kept", "./lower", "kept/"), undefined);
  expect(ours).toBe("kept: up (pid N) N seconds\n./lower: down N seconds\nkept/: up (pid N) N seconds\n");
});

test.each([
  ["-h", "HUP"],
  ["-a", "ALRM"],
  ["-i", "INT"],
  ["-t", "TERM"],
])("svc %s sends %s to the main process, which goes on, as Debian's does", async (letter, signal) => {
  const attempt = async (side: Side) => {
    const [pid] = await until(`${side} up`, () => record(side, "kept").length > 0 && record(side, "kept"));
    const { code } = await tool(side, "svc", letter, "kept");
    await until(`${signal} at ${side}`, () => record(side, "kept").includes(signal));
    return { code, same: record(side, "kept")[0] === pid, signals: record(side, "kept").slice(1) };
  };
  const { ours } = await compare(attempt, undefined);
  expect(ours.same).toBe(true);
});

test("svc -p pauses a service and svc -c continues it, as Debian's does", async () => {
  for (const [letter, line] of [
    ["-p", "kept: up (pid N) N seconds, paused"],
    ["-c", "kept: up (pid N) N seconds"],
  ] as const) {
    const attempt = async (side: Side) => {
      const { code } = await tool(side, "svc", letter, "kept");
      await says(side, line, "kept");
      return code;
    };
    expect((await compare(attempt, undefined)).ours).toBe(0);
  }
});

test("svc -k kills a service, which is started again, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const [pid] = record(side, "kept");
    const { code } = await tool(side, "svc", "-k", "kept");
    await until(`a new process of ${side}`, () => record(side, "kept").length === 1 && record(side, "kept")[0] !== pid);
    await says(side, "kept: up (pid N) N seconds", "kept");
    return { code, gone: !isRunning(Number(pid)) };
  };
  expect((await compare(attempt, undefined)).ours).toEqual({ code: 0, gone: true });
});

test("svc -u starts a normally down service and svc -dk ends it, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const up = await tool(side, "svc", "-u", "lower");
    await says(side, "lower: up (pid N) N seconds, normally down", "lower");
    // The run ignores TERM, so Debian's needs KILL; ours would also kill it after its stop-timeout.
    const pid = Number((await tool(side, "svstat", "lower")).stdout.replace(/.*pid (\d+).*/s, "$1"));
    const down =
      side === "old"
        ? await tool(side, "svc", "-dk", "lower")
        : (await Promise.all([tool(side, "svc", "-d", "lower"), tool(side, "svc", "-k", "lower")]))[0];
    await says(side, "lower: down N seconds", "lower");
    return { codes: [up.code, down.code], gone: !isRunning(pid) };
  };
  expect((await compare(attempt, undefined)).ours).toEqual({ codes: [0, 0], gone: true });
});

test("svc -o runs a service once, as Debian's does", async () => {
  const attempt = async (side: Side) => {
    const [former] = record(side, "lower");
    const { code } = await tool(side, "svc", "-o", "lower");
    await until(`${side} up`, () => record(side, "lower").length === 1 && record(side, "lower")[0] !== former);
    const ended = await tool(side, "svc", "-k", "lower");
    await says(side, "lower: down N seconds", "lower");
    return [code, ended.code];
  };
  expect((await compare(attempt, undefined)).ours).toEqual([0, 0]);
});

test("svc -x stops a service and unloads it until the next rescan, where Debian's leaves it running", async () => {
  const exits = { difference: "svc-exit" };
  const attempt = async (side: Side) => {
    const [pid] = await until(`${side} up`, () => record(side, "ending").length > 0 && record(side, "ending"));
    const { code } = await tool(side, "svc", "-x", "ending");
    return { code, running: isRunning(Number(pid)) };
  };
  await compare(attempt, exits.difference, {
    old: { code: 0, running: true },
    ours: { code: 0, running: false },
  });
  expect((await tool("ours", "svc", "-u", "ending")).code).toBe(1);
  await supervisor.rescan();
  await supervisor.reaches(`${alice.name}/ending`, "running");
  // Debian's way to take a service down for good: the service and its supervise exit.
  await tool("old", "svc", "-dk", "ending");
  await until("exit of Debian's supervise", async () =>
    (await stat("old", "ending")).includes("supervise not running"),
  );
});

test('svstat shows "want up" for a service whose run keeps failing, as Debian\'s does', async () => {
  // Debian's supervise cannot fork; ours waits for its next try.
  const directory = join(services("old"), "failing");
  mkdirSync(directory);
  chownSync(directory, alice.uid, alice.gid);
  const words = [...alice.become, "/usr/bin/prlimit", "--nproc=1:1", "--", "/usr/bin/supervise", directory];
  supervising.push(spawn(words[0] ?? "", words.slice(1), { cwd: "/", stdio: "ignore" }));
  for (const base of [directory, alice.makeDirectory("service/failing")]) {
    writeFileSync(join(base, "run"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    chownSync(join(base, "run"), alice.uid, alice.gid);
  }
  await supervisor.rescan();
  for (const side of ["old", "ours"] as const)
    await says(side, "failing: down N seconds, normally up, want up", "failing");
});

test('svstat does not show "want up" for a failed daemon', async () => {
  alice.write("service/hopeless/run", "#!/bin/sh\nexit 100\n", 0o755);
  await supervisor.rescan();
  await supervisor.reaches(`${alice.name}/hopeless`, "failed");
  await says("ours", "hopeless: down N seconds, normally up", "hopeless");
});

test("svc -d returns when the service is down, where Debian's returns at once", async () => {
  const waits = { difference: "svc-wait" };
  const attempt = async (side: Side) => {
    const [pid] = await until(`${side} up`, () => record(side, "stubborn").length > 0 && record(side, "stubborn"));
    const { code } = await tool(side, "svc", "-d", "stubborn");
    return { code, gone: !isRunning(Number(pid)) };
  };
  await compare(attempt, waits.difference, { old: { code: 0, gone: false }, ours: { code: 0, gone: true } });
});

test("svc exits with 1 for a directory that is not a service, unlike Debian's, and refuses an unknown option, as Debian's does", async () => {
  const unknown = { difference: "svc-unknown" };
  const attempt = async (side: Side) => (await tool(side, "svc", "-t", "nowhere")).code;
  await compare(attempt, unknown.difference, { old: 0, ours: 1 });
  await compare(async (side) => (await tool(side, "svc", "-q", "kept")).code, undefined);
});

test("svc and svstat refuse a directory that is not the service directory of the daemon with that name", async () => {
  const log = `${alice.home}/service/kept/log`;
  alice.write("service/kept/log/run", "#!/bin/sh\nexec cat >/dev/null\n", 0o755);
  alice.makeDirectory("www/kept");
  alice.write("www/run", "#!/bin/sh\n", 0o755);
  alice.makeDirectory("www/log");
  alice.writeConf("log", "start = exec sleep 1000");
  await supervisor.rescan();
  const { pid } = await supervisor.reaches(`${alice.name}/log`, "running");
  const kept = await supervisor.reaches(`${alice.name}/kept`, "running");
  const control = (directory: string) => `svc: warning: unable to control ${directory}: `;
  const is = (name: string) => `it is not what the daemon "${alice.name}/${name}" is made of, which is`;
  const run = `${alice.home}/service/kept/run`;
  for (const [directory, why] of [
    [log, `log/run comes and goes with its daemon; name ${alice.home}/service/kept instead\n`],
    [`${alice.home}/www/kept`, `${is("kept")} ${run}; name that directory\n`],
    [`${alice.home}/www/log`, `${is("log")} ${alice.home}/${alice.conf("log")}; use dmctl "${alice.name}/log"\n`],
    ["../www/kept/../kept", `${is("kept")} ${run}; name that directory\n`],
    [alice.home, "dmctl: "],
  ] as const) {
    for (const letter of ["-d", "-k"]) {
      const { code, stderr } = await tool("ours", "svc", letter, directory);
      expect([code, stderr]).toEqual([1, expect.stringContaining(control(directory) + why)]);
    }
    const shown = await tool("ours", "svstat", directory);
    expect([shown.code, shown.stdout]).toEqual([1, ""]);
    expect(shown.stderr).toContain(`svstat: warning: unable to control ${directory}: ${why}`);
  }
  expect(await supervisor.status(`${alice.name}/log`)).toMatchObject({ state: "running", pid });
  expect(await supervisor.status(`${alice.name}/kept`)).toMatchObject({ state: "running", pid: kept.pid });
});

test("svc refuses the directory of a service's logger, unlike Debian's", async () => {
  const logger = { difference: "svc-log" };
  const attempt = async (side: Side) => {
    if (side === "old") {
      mkdirSync(join(services(side), "kept/log"));
      writeFileSync(join(services(side), "kept/log/run"), "#!/bin/sh\nexec cat >/dev/null\n", { mode: 0o755 });
      supervising.push(spawn("/usr/bin/supervise", ["kept/log"], { cwd: services(side), stdio: "ignore" }));
      await until("supervise of the logger", async () => !(await stat(side, "kept/log")).includes("unable"));
    }
    return (await tool(side, "svc", "-t", "kept/log")).code;
  };
  await compare(attempt, logger.difference, { old: 0, ours: 1 });
});

test("svstat accepts other paths and links to a service directory, and works when called by a link", async () => {
  await run(["ln", "-s", join(alice.home, "service"), join(stage.directory, "services")]);
  await run(["ln", "-s", join(tools, "svstat"), join(bin, "state")]);
  for (const directory of [
    join(stage.directory, "services/kept"),
    "kept/../kept",
    "./kept/",
    `${alice.home}/service/kept/.`,
  ]) {
    const { stdout } = await tool("ours", "svstat", directory);
    expect(stdout).toMatch(/: up \(pid \d+\) \d+ seconds\n$/);
  }
  const { stdout } = await run([join(bin, "state"), join(alice.home, "service/kept")], {
    env: { PATH: `${bin}:/usr/bin:/bin`, DMCTL_SOCKET: supervisor.socket, HOME: "/root" },
  });
  expect(stdout).toMatch(/: up \(pid \d+\) \d+ seconds\n$/);
});

test('svstat shows "want down" for a service that was stopped and still runs, as Debian\'s does', async () => {
  const { pid } = await supervisor.reaches(`${alice.name}/kept`, "running");
  await tool("old", "svc", "-d", "kept");
  const stopping = tool("ours", "svc", "-d", "kept");
  for (const side of ["old", "ours"] as const) await says(side, "kept: up (pid N) N seconds, want down", "kept");
  await compare((side) => stat(side, "kept"), undefined);
  process.kill(pid, "SIGKILL");
  await tool("old", "svc", "-k", "kept");
  await stopping;
  for (const side of ["old", "ours"] as const) await says(side, "kept: down N seconds, normally up", "kept");
});
