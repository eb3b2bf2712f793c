/** `svc` and `svstat`: Debian's under its `supervise`, ours under our supervisor. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** Writes its process id and the signals that it gets. */
const RECORDER = (file: string): string => `#!/bin/sh
for signal in HUP ALRM INT TERM; do trap "echo $signal >>${file}" "$signal"; done
echo $$ >${file}
while :; do sleep 3 & wait $!; done
`;

const services = (side: Side): string => (side === "old" ? join(stage.directory, "old") : join(alice.home, "service"));
const recordOf = (side: Side, name: string): string => join(services(side), `${name}.record`);
const record = (side: Side, name: string): string[] =>
  existsSync(recordOf(side, name)) ? readFileSync(recordOf(side, name), "utf8").trim().split("\n") : [];

/** What each one's file says besides. */
const KEYS = { kept: "", lower: "autostart=no\n", stubborn: "stop-timeout=200ms\n" };
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
    const directory = alice.makeDirectory(`service/${name}`);
    const program = alice.write(`service/${name}/run`, RECORDER(recordOf("ours", name)), 0o755);
    alice.write(`.daemon-manager/daemons/${name}.conf`, `dir=${directory}\nstart=exec ${program}\n${keys}`);
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

/** Runs svc or svstat of one side. */
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

test("svstat of what is up and of what is normally down, by the directories as they were given", async () => {
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
])("svc %s sends %s to the main process, and it stays up", async (letter, signal) => {
  const attempt = async (side: Side) => {
    const [pid] = await until(`${side} up`, () => record(side, "kept").length > 0 && record(side, "kept"));
    const { code } = await tool(side, "svc", letter, "kept");
    await until(`${signal} at ${side}`, () => record(side, "kept").includes(signal));
    return { code, same: record(side, "kept")[0] === pid, signals: record(side, "kept").slice(1) };
  };
  const { ours } = await compare(attempt, undefined);
  expect(ours.same).toBe(true);
});

test("svc -p pauses it, svc -c lets it go on", async () => {
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

test("svc -k kills it, and another one comes", async () => {
  const attempt = async (side: Side) => {
    const [pid] = record(side, "kept");
    const { code } = await tool(side, "svc", "-k", "kept");
    await until(`another one at ${side}`, () => record(side, "kept").length === 1 && record(side, "kept")[0] !== pid);
    await says(side, "kept: up (pid N) N seconds", "kept");
    return { code, gone: !isRunning(Number(pid)) };
  };
  expect((await compare(attempt, undefined)).ours).toEqual({ code: 0, gone: true });
});

test("svc -u raises what is normally down, svc -dk ends it", async () => {
  const attempt = async (side: Side) => {
    const up = await tool(side, "svc", "-u", "lower");
    await says(side, "lower: up (pid N) N seconds, normally down", "lower");
    // It takes TERM for nothing, so the old one is down only by KILL; ours would be after its stop-timeout, too.
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

test("svc -o runs it once", async () => {
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

test("svc -d returns when it is down, whatever that takes; the old one at once", async () => {
  const waits = { difference: "svc-wait" };
  const attempt = async (side: Side) => {
    const [pid] = await until(`${side} up`, () => record(side, "stubborn").length > 0 && record(side, "stubborn"));
    const { code } = await tool(side, "svc", "-d", "stubborn");
    return { code, gone: !isRunning(Number(pid)) };
  };
  const { old, ours } = await compare(attempt, waits.difference);
  expect([old, ours]).toEqual([
    { code: 0, gone: false },
    { code: 0, gone: true },
  ]);
});

test("a directory that is no service, and a wrong letter", async () => {
  const unknown = { difference: "svc-unknown" };
  const attempt = async (side: Side) => (await tool(side, "svc", "-t", "nowhere")).code;
  expect((await compare(attempt, unknown.difference)).ours).toBe(1);
  await compare(async (side) => (await tool(side, "svc", "-q", "kept")).code, undefined);
});

test("svstat of a daemon that was asked to end and has not", async () => {
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
