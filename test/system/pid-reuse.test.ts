/** Without cgroups a run's processes are found in /proc: processes that reuse its pids are never signalled. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const OS = join(import.meta.dirname, "../../apps/supervisor/src/os");
const LAST_PID = "/proc/sys/kernel/ns_last_pid";

/** Common start of both programs; each is process 1 of a pid namespace, which ends with it. */
const PRELUDE = `
  import { spawn } from "node:child_process";
  import { once } from "node:events";
  import { writeFileSync } from "node:fs";
  import { setTimeout } from "node:timers/promises";
  import { ProcessTree } from "${OS}/processes/process-tree.ts";
  import { identify } from "${OS}/kernel/process-table.ts";
  const begin = (script) => {
    const child = spawn("sh", ["-c", script], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    return { child, ended: once(child, "exit"), told: once(child.stdout, "data").then(([data]) => Number(data)) };
  };
  /** Begins a session that gets this pid. */
  const beginAs = async (pid, script) => {
    for (;;) {
      writeFileSync("${LAST_PID}", String(pid - 1));
      const begun = begin(script);
      const told = await begun.told;
      if (begun.child.pid === pid) return { ...begun, told };
      process.kill(told, "SIGKILL");
      await begun.ended;
    }
  };
  /** Start times are told in hundredths of a second. */
  const tick = () => setTimeout(50);
`;

const outcome = (program: string): unknown => {
  const argv = ["--pid", "--fork", "--mount-proc", process.execPath, "--input-type=module", "-e", PRELUDE + program];
  return JSON.parse(execFileSync("unshare", argv, { encoding: "utf8" }));
};

test.skipIf(!existsSync(LAST_PID))(
  "clearing a run does not kill a session that reuses the pid of the run's leader",
  () => {
    const survived = outcome(`
    const former = begin("echo $$; exec sleep 1000");
    const leader = identify(await former.told);
    former.child.kill("SIGKILL");
    await former.ended;
    await tick();
    const stranger = await beginAs(leader.pid, "echo $$; exec sleep 1000");
    await new Promise((gone) => new ProcessTree(leader, undefined).clear(gone));
    console.log(JSON.stringify(identify(stranger.told) !== undefined));
    process.exit();
  `);
    expect(survived).toBe(true);
  },
);

test.skipIf(!existsSync(LAST_PID))(
  "killing a run does not kill a session that reuses the session id of the run, which has ended",
  () => {
    const [own, survived] = outcome(`
    const former = begin("setsid sh -c 'echo $$; exec sleep 1000' & wait");
    const away = await former.told;
    const leader = identify(former.child.pid);
    const gone = Promise.withResolvers();
    const run = new ProcessTree(leader, undefined);
    run.usage();
    former.child.kill("SIGKILL");
    await former.ended;
    run.awaitEmpty(gone.resolve);
    await tick();
    const stranger = await beginAs(leader.pid, "sleep 1000 >/dev/null & echo $!");
    while (identify(leader.pid)) await setTimeout(5);
    run.kill();
    await gone.promise;
    console.log(JSON.stringify([identify(away) !== undefined, identify(stranger.told) !== undefined]));
    process.exit();
  `) as [boolean, boolean];
    expect([own, survived]).toEqual([false, true]);
  },
);
