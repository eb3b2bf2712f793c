/** A log on a full disk: its daemon goes on, and dropped lines are counted and reported. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, rotatedIn } from "./log-directory.ts";
import { succeed, until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";
import { fillToolbox, type Toolbox } from "./toolbox.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;
let toolbox: Toolbox;
let logs: string;

beforeAll(async () => {
  stage = await Stage.make();
  toolbox = await fillToolbox(`${stage.directory}/bin`);
  alice = await stage.account("alice");
  logs = alice.makeDirectory(".daemon-manager/logs");
  await succeed(
    "mount",
    "-t",
    "tmpfs",
    "-o",
    `size=8M,mode=700,uid=${alice.uid},gid=${alice.gid}`,
    "dmhost-test",
    logs,
  );
  // The ballast can be removed; the log fills the rest.
  await succeed(...alice.become, "dd", "if=/dev/zero", `of=${logs}/ballast`, "bs=1k", "count=8100", "status=none");
  const count = `i=0; while :; do i=$((i+1)); printf "%0100d\\n" $i; echo $i >$HOME/written; done`;
  alice.writeConf("busy", `start = ${count}`, "output = log", "log-size = 64K", "log-files = 100");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(async () => {
  await supervisor?.end("SIGKILL");
  if (logs !== undefined) await succeed("umount", "--lazy", logs);
  await stage.remove();
});

test("a daemon whose log's disk is full does not block, and its log goes on when there is space again", async () => {
  const id = `${alice.name}/busy`;
  const { pid } = await supervisor.reaches(id, "running");
  const full = await until(
    "1000 dropped lines",
    async () => {
      const status = await supervisor.status(id);
      return status.logDropped > 1000 && status;
    },
    50,
  );
  expect([full.pid, full.logProblem]).toEqual([pid, "no space left for its log (ENOSPC)"]);
  const written = async (): Promise<number> => Number(await succeed("cat", `${alice.home}/written`)) || 0;
  const before = await written();
  await until("1000 more lines from the daemon", async () => (await written()) > before + 1000, 50);
  const table = await alice.run([toolbox.node, toolbox.dmctl, "status", "--long"]);
  expect(table.stdout).toMatch(/its log: \d+ lines dropped; no space left for its log \(ENOSPC\)/);
  const explained = await alice.run([toolbox.node, toolbox.dmctl, "explain", "busy"]);
  expect(explained.stdout).toMatch(/dropped +its log: \d+ lines dropped/);

  // The next supervisor continues the count while the daemon runs.
  const known = (await supervisor.status(id)).logDropped;
  await supervisor.end("SIGKILL");
  await supervisor.start();
  const resumed = await supervisor.status(id);
  expect([resumed.pid, resumed.logDropped >= known]).toEqual([pid, true]);

  await succeed("rm", `${logs}/ballast`);
  await until("the log's problem to be over", async () => (await supervisor.status(id)).logProblem === "");
  const files = rotatedIn(`${logs}/busy`).length;
  await until("another rotated file", () => rotatedIn(`${logs}/busy`).length > files);
  await supervisor.act("stop", id);
  const { logDropped } = await supervisor.status(id);
  const lines = linesIn(`${logs}/busy`);
  const notices = lines.filter((line) => line.startsWith("dmhost dropped "));
  expect(notices.length).toBeGreaterThan(0);
  // Every line is a whole number or a notice of a gap: no line was cut in two.
  const numbers = lines.filter((line) => /^\d+$/.test(line)).map(Number);
  expect(lines.length - numbers.length).toBe(notices.length);
  // A daemon that writes faster than the pipe is emptied may get a line in before one that was partly read.
  const backward = numbers.filter((number, index) => number <= (numbers[index - 1] ?? 0));
  expect(backward.length).toBeLessThanOrEqual(notices.length);
  expect(Math.abs(Math.max(...numbers) - numbers.length - logDropped)).toBeLessThanOrEqual(notices.length);
  console.log(`${logDropped} lines dropped and counted, ${numbers.length} logged, ${notices.length} gaps`);

  // The next supervisor keeps the count after the stop as well.
  await supervisor.end("SIGKILL");
  await supervisor.start();
  expect((await supervisor.status(id)).logDropped).toBe(logDropped);
}, 150_000);
