/**
 * What counts against the limits of a daemon and its owner: real processes, on any machine. Where no cgroup enforces memory,
 * these are tests of the watch.
 */
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Explanation } from "@dmhost/contract";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { argumentsOf, limitsOf, processesOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

const M = 1024 ** 2;

let stage: Stage;
let dora: Account;
let supervisor: Supervisor;
/** Whether cgroups enforce memory here. */
let byCgroup = false;

const idOf = (name: string): string => `${dora.name}/${name}`;
const explained = async (name: string): Promise<Explanation> =>
  (await supervisor.ask("GET", `/v1/daemons/${encodeURIComponent(idOf(name))}/explanation`)).body as Explanation;
/** Once `grow(name)` permits, takes `size` MiB step by step, so that the watch must notice it; its last argument is its name. */
const hog = (name: string, size: number): string =>
  `exec perl -e 'select undef, undef, undef, 0.05 until -e "${dora.home}/grow-${name}"; my @kept; for (1 .. ${size}) { push @kept, "x" x 1048576 } sleep 600' ${name}`;
const grow = (name: string): string => dora.write(`grow-${name}`, "");
const pidsOf = (name: string): number[] => processesOf(dora.uid).filter((pid) => argumentsOf(pid).at(-1) === name);
/** Has a child of posix_spawn(3) that never reaches its exec, because it opens a FIFO without a writer. */
const SPAWNER = `import os
kept = bytearray(b"x") * (40 * 1048576)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.environ["HOME"] + "/fifo", os.O_RDONLY, 0)])
`;
/** The first thread ends, and another takes 72 MiB. */
const HEADLESS = `import ctypes, platform, threading, time
def go():
    time.sleep(0.5)
    kept = bytearray(b"x") * (72 * 1048576)
    time.sleep(60)
threading.Thread(target=go).start()
ctypes.CDLL(None).syscall(93 if platform.machine() == "aarch64" else 60, 0)
`;

const writeScript = (path: string, text: string): void => {
  dora.write(path, `#!/bin/sh\n${text}\n`);
  chmodSync(join(dora.home, path), 0o755);
};

beforeAll(async () => {
  stage = await Stage.make();
  dora = await stage.account("dora");
  const limits = ["[limits]", `${dora.name}: processes = 12, memory = 96M, restarts = 100`];
  supervisor = stage.supervisor("main", ["[runs_as]", dora.name, ...limits]);
  const many =
    "my $n = 0; while ($n++ < 40) { my $pid = fork; defined $pid or mkdir qq($ENV{HOME}/refused); sleep 600 if !$pid } sleep 600";
  dora.writeConf("many", `start = exec perl -e '${many}'`, "limit-nproc = 1000", "autostart = no");
  dora.write("spawner.py", SPAWNER);
  await dora.run(["mkfifo", join(dora.home, "fifo")]);
  const once = ["max-retries = 0", "healthy-after = 10m", "stop-timeout = 1", "autostart = no"];
  dora.writeConf("spawner", `start = exec /usr/bin/python3 ${dora.home}/spawner.py`, "memory = 60M", ...once);
  dora.writeConf("hog", `start = ${hog("hog", 72)}`, "memory = 60M", ...once);
  dora.write("headless.py", HEADLESS);
  dora.writeConf("headless", `start = exec /usr/bin/python3 ${dora.home}/headless.py`, "memory = 60M", ...once);
  const shared = 'my $n = 24; my $x = "x" x ($n * 1048576); fork for 1 .. 2; sleep 600';
  dora.writeConf("shared", `start = exec perl -e '${shared}'`, "memory = 60M", ...once);
  dora.writeConf("pair", "start = exec sleep 600", "listen = fastcgi", "instances = 2", "autostart = no");
  writeScript("service/site/run", "exec sleep 600");
  writeScript("service/site/log/run", hog("logger", 120));
  writeScript("service/last/run", "exec sleep 600");
  writeScript("service/last/finish", hog("finish", 120));
  writeScript("service/last/log/run", "exec cat >/dev/null");
  for (const name of ["site", "last"]) dora.write(`service/${name}/down`, "");
  await supervisor.start();
  const { limits: inForce } = await supervisor.up(idOf("shared"));
  byCgroup = inForce.keys.some(({ key, enforcedBy }) => key === "memory" && enforcedBy === "cgroup");
});
afterAll(() => stage.remove());

test("usage shows memory that processes share once", async () => {
  // Where measuring takes long, some answers are estimates, which count it for each process.
  const usage = await until("four processes with less than twice what they share", async () => {
    const now = (await supervisor.status(idOf("shared"))).usage;
    return now?.processes === 4 && (now.memory ?? 0) < 2 * 24 * M && now;
  });
  expect(usage.memory).toBeGreaterThan(24 * M);
  await supervisor.act("stop", idOf("shared"));
});

test("a child of posix_spawn(3) that still shares its parent's memory is not counted twice", async () => {
  await supervisor.up(idOf("spawner"));
  await until("the child before its exec, and less memory than twice its parent's", async () => {
    const { state, reason, usage } = await supervisor.status(idOf("spawner"));
    if (state !== "running") throw new Error(`${state}: ${reason}`);
    return usage?.processes === 2 && (usage.memory ?? 0) < 60 * M;
  });
  grow("hog");
  await supervisor.act("start", idOf("hog"));
  await until(
    "the run with 72 MiB to end out of memory",
    async () => (await explained("hog")).lastExit?.how === "out-of-memory",
  );
  // The watch has sampled this daemon as often as the other.
  expect(await supervisor.status(idOf("spawner"))).toMatchObject({ state: "running", respawns: 0 });
  await supervisor.act("stop", idOf("spawner"));
  rmSync(join(dora.home, "grow-hog"));
  await supervisor.act("start", idOf("hog"));
  const { usage } = await until("the usage of the next run", async () => {
    const now = await supervisor.status(idOf("hog"));
    return now.usage !== null && now;
  });
  expect(usage?.oomKills).toBeGreaterThan(0);
  await supervisor.act("stop", idOf("hog"));
});

test("memory of a process whose first thread has ended is counted", async () => {
  await supervisor.act("start", idOf("headless"));
  await until(
    "the run to end out of memory",
    async () => (await explained("headless")).lastExit?.how === "out-of-memory",
  );
  await supervisor.act("stop", idOf("headless"));
});

test("usage of a daemon is the sum of its instances", async () => {
  await supervisor.up(idOf("pair"));
  const { usage, instances } = await until("two running instances", async () => {
    const now = await supervisor.status(idOf("pair"));
    return now.instances.filter(({ state }) => state === "running").length === 2 && now;
  });
  expect([instances.length, usage?.processes]).toEqual([2, 2]);
  await supervisor.act("stop", idOf("pair"));
});

test("limit-nproc= of a conf file does not raise the owner's budget of processes", async () => {
  await supervisor.act("start", idOf("many"));
  // Zombies count, too.
  await until("a refused fork", () => existsSync(join(dora.home, "refused")));
  expect(processesOf(dora.uid).length).toBeLessThanOrEqual(12);
  await supervisor.act("stop", idOf("many"));
});

test("a log/run that exceeds its owner's memory budget is killed, and its daemon goes on", async () => {
  const { pid } = await supervisor.up(idOf("site"));
  const [logger = 0] = await until("the logger", () => pidsOf("logger").length > 0 && pidsOf("logger"));
  if (!byCgroup) expect(limitsOf(logger)["Max data size"]).toBe(`${2 * 96 * M} ${2 * 96 * M}`);
  grow("logger");
  await until("a new logger", () => !pidsOf("logger").includes(logger));
  if (!byCgroup) expect(supervisor.text()).toMatch(/killing its log\/run: out of memory: used \S+ \S+ of 96 MiB/);
  expect(await supervisor.status(idOf("site"))).toMatchObject({ pid, state: "running", respawns: 0 });
  await supervisor.act("stop", idOf("site"));
});

test("a finish that exceeds its owner's memory budget is killed", async () => {
  await supervisor.up(idOf("last"));
  const stopping = supervisor.act("stop", idOf("last"));
  const [finish = 0] = await until("the finish", () => pidsOf("finish").length > 0 && pidsOf("finish"));
  if (!byCgroup) expect(limitsOf(finish)["Max data size"]).toBe(`${2 * 96 * M} ${2 * 96 * M}`);
  grow("finish");
  expect((await stopping).ok).toBe(true);
  if (!byCgroup) expect(supervisor.text()).toMatch(/killing its finish: out of memory: used \S+ \S+ of 96 MiB/);
});
