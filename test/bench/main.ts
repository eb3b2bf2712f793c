/**
 * Measures the figures of docs/explanation/benchmarks.md, each beside a peer in the same run: `npm run bench -- [FIGURE...]`, as
 * root. packages.ts has the figures and the packages that each needs. --seconds N (60) is the length of a
 * run of fastcgi or throughput; fastcgi takes --setup PART-OF-NAME, --trouble NAME (both repeatable) and --record FILE.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Account } from "../system/account.ts";
import { CHECKOUT, until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import { type Options, readCommandLine, WrongUse } from "./command-line.ts";
import { measureContainers } from "./containers.ts";
import { measureLoss, measureThroughput } from "./fastcgi.ts";
import { measureLaunch } from "./launch.ts";
import { TROUBLES } from "./loss.ts";
import { median } from "./median.ts";
import { type Figure, missingPackages } from "./packages.ts";
import { childNamed, pssOf, REST, runRunsv, runSupervisord, SHIPPED_DMCTL, SHIPPED_SUPERVISOR } from "./peer.ts";
import { SETUPS } from "./php-setups.ts";
import { measureScale } from "./scale.ts";
import { measureSleeping } from "./sleeping.ts";
import { measureSurvival, measureSurvivalInDocker } from "./survival.ts";
import { MARK, runSwept } from "./sweep.ts";

const range = (values: readonly number[], unit: string): string =>
  `${median(values).toFixed(1)} ${unit} (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`;

const say = (figure: string, ours: string, peer: string, ratio: number): void =>
  console.log(`${figure}\n  dmhost  ${ours}\n  ${peer}\n  ratio   ${ratio.toFixed(2)}\n`);

const onStage = async (work: (stage: Stage) => Promise<void>): Promise<void> => {
  const stage = await Stage.make();
  try {
    await work(stage);
  } finally {
    await stage.remove();
  }
};

/** Measures the ms from kill -9 of a child to the exec of the next one. */
const respawn = async (parent: number): Promise<number> => {
  const former = childNamed(parent, "php-cgi", 0) ?? 0;
  const begun = performance.now();
  process.kill(former, "SIGKILL");
  while (childNamed(parent, "php-cgi", former) === undefined) {
    if (performance.now() - begun > 10_000) throw new Error("no new php-cgi within 10 s");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.2);
  }
  return performance.now() - begun;
};

const measureRespawn = (): Promise<void> =>
  onStage(async (stage) => {
    const tenant = await stage.account("bench");
    const supervisor = stage.supervisor(
      "ours",
      [`nginx-group = ${tenant.name}`, "[runs_as]", tenant.name],
      SHIPPED_SUPERVISOR,
    );
    tenant.writeConf("site", "start = exec php-cgi", "listen = fastcgi", "healthy-after = 1");
    await supervisor.start();
    await supervisor.reaches(`${tenant.name}/site`, "running");
    const runsv = await runRunsv(stage.directory);
    try {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < 20; round += 1) {
        await sleep(2000);
        ours.push(await respawn(supervisor.shim ?? 0));
        theirs.push(await respawn(runsv.pid));
      }
      const figure = "kill -9 of php-cgi, 2 s up, to the exec of the next one: median of 20";
      say(figure, range(ours, "ms"), `runit   ${range(theirs, "ms")}`, median(ours) / median(theirs));
    } finally {
      await runsv.end();
    }
  });

/** Measures the ms that a program takes from start to exit. */
const time = (argv: readonly string[], env: NodeJS.ProcessEnv): number => {
  const [file = "", ...args] = argv;
  const begun = performance.now();
  execFileSync(file, args, { env: { PATH: "/usr/bin:/bin", ...env }, stdio: ["ignore", "pipe", "inherit"] });
  return performance.now() - begun;
};

const measureStatus = (): Promise<void> =>
  onStage(async (stage) => {
    const tenant = await stage.account("bench");
    const supervisor = stage.supervisor("ours", ["[runs_as]", tenant.name], SHIPPED_SUPERVISOR);
    for (let index = 0; index < 100; index += 1) tenant.writeConf(`d${index}`, "start = exec sleep 100000");
    await supervisor.start();
    await supervisor.reaches(`${tenant.name}/d99`, "running");
    const { peer, config } = await runSupervisord(stage.directory, 100);
    try {
      const ours: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < 20; round += 1) {
        ours.push(time([SHIPPED_DMCTL, "status"], { DMCTL_SOCKET: supervisor.socket }));
        theirs.push(time(["/usr/bin/supervisorctl", "-c", config, "status"], {}));
      }
      say(
        "status of 100 daemons: median of 20",
        range(ours, "ms"),
        `supervisorctl ${range(theirs, "ms")}`,
        median(ours) / median(theirs),
      );
    } finally {
      await peer.end();
    }
  });

/** Daemons of one owner, who may have no more than 256. */
const OF_ONE_OWNER = 250;

const measureMemory = (): Promise<void> =>
  onStage(async (stage) => {
    const tenants: Account[] = [];
    for (let owner = 0; owner < 2000 / OF_ONE_OWNER; owner += 1) tenants.push(await stage.account(`bench${owner}`));
    const policy = ["[runs_as]", ...tenants.map(({ name }) => `${name}:`)];
    const supervisor = stage.supervisor("ours", policy, SHIPPED_SUPERVISOR);
    const tenantOf = (index: number) => tenants[Math.floor(index / OF_ONE_OWNER)] as Account;
    const settle = async (count: number): Promise<number> => {
      for (let index = 0; index < count; index += 1) {
        tenantOf(index).writeConf(`d${index}`, "start = exec sleep 100000", "output = log");
      }
      if (supervisor.pid === 0) await supervisor.start();
      else await supervisor.rescan();
      await supervisor.reaches(`${tenantOf(count - 1).name}/d${count - 1}`, "running");
      await sleep(REST);
      return pssOf(supervisor.pid) + pssOf(supervisor.shim ?? 0);
    };
    for (const count of [100, 250, 2000]) {
      const ours = await settle(count);
      const { peer } = await runSupervisord(stage.directory, count);
      await sleep(REST);
      const theirs = pssOf(peer.pid);
      await peer.end();
      say(
        `memory of supervisor and shim, ${count} daemons, PSS`,
        `${(ours / 1024).toFixed(1)} MB`,
        `supervisord ${(theirs / 1024).toFixed(1)} MB`,
        ours / theirs,
      );
    }
  });

/** Processor time of a process in ticks of 10 ms (proc(5): utime, stime). */
const ticksOf = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
};

const LOG_BYTES = 384 * 1024 ** 2;
/** Writes a file of 16000 kB in lines of `line` bytes; returns a shell command that prints LOG_BYTES of it. */
const writeSample = (path: string, line = 100): string => {
  const bytes = 160 * 1024 * 100;
  writeFileSync(path, `${"x".repeat(line - 1)}\n`.repeat(bytes / line));
  return `for i in $(seq ${Math.round(LOG_BYTES / bytes)}); do cat ${path}; done`;
};

/** Daemons that write at the same time, and the length of their lines: the number of lines limits one s6-log. */
const TALKERS = 4;
const LONG_LINE = 1000;

/** Measures the throughput of several logs at once, and the supervisor's processor time. */
const measureLogs = (): Promise<void> =>
  onStage(async (stage) => {
    const tenant = await stage.account("bench");
    const supervisor = stage.supervisor("ours", ["[runs_as]", tenant.name], SHIPPED_SUPERVISOR);
    const writer = writeSample(join(stage.directory, "sample"), LONG_LINE);
    const names = Array.from({ length: TALKERS }, (_, index) => `talker${index}`);
    for (const name of names)
      tenant.writeConf(name, `start = ${writer}; echo end; exec sleep 1000`, "output = log", "autostart = no");
    await supervisor.start();
    const logs = join(tenant.home, ".daemon-manager/logs");
    const rates: number[] = [];
    const shares: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const ticks = ticksOf(supervisor.pid);
      const begun = performance.now();
      await Promise.all(names.map((name) => supervisor.up(`${tenant.name}/${name}`)));
      for (const name of names)
        await until(`the end of ${name}`, () => /end\n$/.test(endOf(join(logs, name, "current"))), 300);
      const seconds = (performance.now() - begun) / 1000;
      shares.push((ticksOf(supervisor.pid) - ticks) / seconds);
      rates.push((TALKERS * LOG_BYTES) / 1e6 / seconds);
      for (const name of names) await supervisor.act("stop", `${tenant.name}/${name}`);
      await tenant.run(["rm", "-rf", ...names.map((name) => join(logs, name))]);
    }
    console.log(
      `log: ${TALKERS} daemons at once, 384 MiB each in lines of ${LONG_LINE} bytes: median of 5\n` +
        `  all together               ${range(rates, "MB/s")}\n` +
        `  the supervisor's own CPU   ${range(shares, "%")}\n`,
    );
  });

/** Measures the throughput of a daemon's log, and of a bare s6-log with the same writer and arguments. */
const measureLog = (): Promise<void> =>
  onStage(async (stage) => {
    const tenant = await stage.account("bench");
    const supervisor = stage.supervisor("ours", ["[runs_as]", tenant.name], SHIPPED_SUPERVISOR);
    const writer = writeSample(join(stage.directory, "sample"));
    // The last line shows that all lines before it are written.
    tenant.writeConf("talker", `start = ${writer}; echo end; exec sleep 1000`, "output = log", "autostart = no");
    await supervisor.start();
    const id = `${tenant.name}/talker`;
    const directory = join(tenant.home, ".daemon-manager/logs/talker");
    const bare = join(tenant.home, "bare");
    const rates: { ours: number[]; theirs: number[] } = { ours: [], theirs: [] };
    const shares: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const ticks = ticksOf(supervisor.pid);
      const begun = performance.now();
      await supervisor.up(id);
      await until("the end of it", () => /end\n$/.test(endOf(join(directory, "current"))), 300);
      const seconds = (performance.now() - begun) / 1000;
      shares.push((ticksOf(supervisor.pid) - ticks) / seconds);
      rates.ours.push(LOG_BYTES / 1e6 / seconds);
      await supervisor.act("stop", id);
      await tenant.run(["rm", "-rf", directory, bare]);
      const before = performance.now();
      await tenant.run(["sh", "-c", `umask 077; { ${writer}; echo end; } | s6-log -b -- n10 s1048576 t ${bare}`]);
      rates.theirs.push(LOG_BYTES / 1e6 / ((performance.now() - before) / 1000));
    }
    say(
      "log: 384 MiB in lines of 100 bytes, from the writer into its files: median of 5",
      range(rates.ours, "MB/s"),
      `bare s6-log ${range(rates.theirs, "MB/s")}`,
      median(rates.theirs) / median(rates.ours),
    );
    console.log(`the supervisor's CPU during that\n  dmhost  ${range(shares, "%")}\n`);
  }).then(measureLogs);

const endOf = (path: string): string => {
  try {
    return readFileSync(path, "latin1").slice(-100);
  } catch {
    return "";
  }
};

const MEASURES: Readonly<Record<Figure, (options: Options) => Promise<void>>> = {
  launch: measureLaunch,
  respawn: measureRespawn,
  status: measureStatus,
  memory: measureMemory,
  log: measureLog,
  fastcgi: measureLoss,
  throughput: measureThroughput,
  survival: measureSurvival,
  "survival-docker": measureSurvivalInDocker,
  containers: measureContainers,
  sleeping: measureSleeping,
  scale: measureScale,
};

/** Ends the program with one line on standard error. */
const refuse = (message: string, code: 1 | 2): never => {
  console.error(`bench: ${message}`);
  process.exit(code);
};

const chosen = (): ReturnType<typeof readCommandLine> => {
  const [setups, troubles] = [SETUPS, TROUBLES].map((rows) => [...new Set(rows.map(({ name }) => name))]);
  try {
    return readCommandLine(process.argv.slice(2), setups ?? [], troubles ?? []);
  } catch (error) {
    if (error instanceof WrongUse) return refuse(error.message, 2);
    throw error;
  }
};

const { figures, options } = chosen();
if (process.geteuid?.() !== 0) refuse("the benchmarks make accounts: run them as root", 1);
const missing = missingPackages(figures);
if (missing.length > 0) refuse(`packages are missing: apt-get install ${missing.join(" ")}`, 1);
if (process.env[MARK] === undefined) {
  process.exitCode = await runSwept();
} else {
  execFileSync(join(CHECKOUT, "node_modules/.bin/node"), [join(CHECKOUT, "build.ts")], { stdio: "inherit" });
  for (const figure of figures) await MEASURES[figure](options);
}
