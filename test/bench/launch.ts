/** Processor time of a launch: of supervisor, shim and the new process until it is the program; beside runit's. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { kill } from "../system/proc.ts";
import { until } from "../system/program.ts";
import { Stage } from "../system/stage.ts";
import { median } from "./median.ts";
import { childNamed, Peer, SHIPPED_SUPERVISOR } from "./peer.ts";

const ROUNDS = 100;
/** Until a new process, and those that have launched it, have nothing more to do, in ms. */
const SETTLE = 300;
const PROGRAM = ["/bin/sleep", "100000"] as const;

/** Processor time of all threads of a process in ms (Documentation/scheduler/sched-stats: nanoseconds on the processor). */
const cpuOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`)
    .map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]) / 1e6)
    .reduce((sum, each) => sum + each, 0);

/** Kills the program below `parent` and waits for the next one. Returns the ms that the launchers used, and the new process. */
const relaunch = async (parent: number, launchers: readonly number[]): Promise<readonly number[]> => {
  const former = childNamed(parent, "sleep", 0) ?? 0;
  const before = launchers.map(cpuOf);
  kill(former);
  const next = await until("the next program", () => childNamed(parent, "sleep", former));
  await sleep(SETTLE);
  return [...launchers.map((pid, index) => cpuOf(pid) - (before[index] ?? 0)), cpuOf(next)];
};

/** What the program uses by itself, launched by posix_spawn. */
const ownTime = async (): Promise<number> => {
  const [file, ...args] = PROGRAM;
  const child = spawn(file, args, { stdio: "ignore", env: { PATH: "/usr/bin:/bin" } });
  await sleep(SETTLE);
  const used = cpuOf(child.pid ?? 0);
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  return used;
};

/** The relaunch of a daemon that was killed after it had become healthy: median of 100. */
export const measureLaunch = async (): Promise<void> => {
  const stage = await Stage.make();
  const service = join(stage.directory, "runit");
  let runsv: Peer | undefined;
  try {
    const tenant = await stage.account("bench");
    const options = { ...SHIPPED_SUPERVISOR, flags: ["--log-level", "info"] };
    const supervisor = stage.supervisor("ours", ["[runs_as]", tenant.name], options);
    tenant.writeConf("program", `start = exec ${PROGRAM.join(" ")}`, "healthy-after = 0", "max-retries = 1000");
    await supervisor.start();
    await supervisor.reaches(`${tenant.name}/program`, "running");
    mkdirSync(service);
    writeFileSync(join(service, "run"), `#!/bin/sh\nexec ${PROGRAM.join(" ")}\n`, { mode: 0o755 });
    runsv = new Peer(["/usr/bin/runsv", service]);
    const peer = runsv.pid;
    await until("runsv's program", () => childNamed(peer, "sleep", 0));
    const rows: { own: number; ours: readonly number[]; theirs: readonly number[] }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const shim = supervisor.shim ?? 0;
      // runsv waits for a second between two launches.
      const [ours, theirs] = [await relaunch(shim, [supervisor.pid, shim]), await relaunch(peer, [peer])];
      rows.push({ own: await ownTime(), ours, theirs });
    }
    const own = median(rows.map((row) => row.own));
    const part = (side: "ours" | "theirs", index: number): number => median(rows.map((row) => row[side][index] ?? 0));
    const beyond = (side: "ours" | "theirs"): number =>
      median(rows.map((row) => row[side].reduce((sum, each) => sum + each, 0))) - own;
    console.log(
      `processor time of a launch, median of ${ROUNDS}; the program by itself: ${own.toFixed(2)} ms\n` +
        `  dmhost  ${beyond("ours").toFixed(2)} ms more (supervisor ${part("ours", 0).toFixed(2)}, shim ${part("ours", 1).toFixed(2)}, process ${part("ours", 2).toFixed(2)})\n` +
        `  runit   ${beyond("theirs").toFixed(2)} ms more (runsv ${part("theirs", 0).toFixed(2)}, process ${part("theirs", 1).toFixed(2)})\n`,
    );
  } finally {
    await runsv?.end();
    await stage.remove();
  }
};
