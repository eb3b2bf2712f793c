/** A daemon's last line without a newline: it is logged, and no empty line is added otherwise. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Account } from "./account.ts";
import { linesIn, loggerOf } from "./log-directory.ts";
import { statusOf } from "./proc.ts";
import { until } from "./program.ts";
import { Stage } from "./stage.ts";
import type { Supervisor } from "./supervisor.ts";

let stage: Stage;
let alice: Account;
let supervisor: Supervisor;

beforeAll(async () => {
  stage = await Stage.make();
  alice = await stage.account("alice");
  supervisor = stage.supervisor("main", ["[runs_as]", alice.name]);
  await supervisor.start();
});
afterAll(() => stage.remove());

const directoryOf = (name: string): string => `${alice.home}/.daemon-manager/logs/${name}`;
const idOf = (name: string): string => `${alice.name}/${name}`;
const load = async (name: string, start: string, ...keys: string[]): Promise<void> => {
  alice.writeConf(name, `start = ${start}`, "output = log", "autostart = no", ...keys);
  await supervisor.rescan();
};
const written = (name: string, ...lines: string[]): Promise<unknown> =>
  until(`"${lines}" in the log of ${name}`, () => {
    try {
      return JSON.stringify(linesIn(directoryOf(name))) === JSON.stringify(lines);
    } catch {
      return false;
    }
  });

test.each(["no", "yes"])(
  "an unterminated last line of a run that exits is logged (log-compress=%s)",
  async (compress) => {
    const name = `half-${compress}`;
    await load(name, "echo begun; printf 'fatal: no coffee'; sleep 1", `log-compress = ${compress}`);
    await supervisor.act("once", idOf(name));
    await written(name, "begun", "fatal: no coffee");
    // The next run starts a new line, and its own last line is logged as well.
    await supervisor.act("once", idOf(name));
    await written(name, "begun", "fatal: no coffee", "begun", "fatal: no coffee");
  },
);

test("an unterminated last line of a crashed run is logged during the back-off", async () => {
  await load("crash", "echo begun; printf 'fatal: no coffee'; exit 1");
  await supervisor.act("start", idOf("crash"));
  await until("the last line in the log", () => linesIn(directoryOf("crash")).includes("fatal: no coffee"));
  expect(linesIn(directoryOf("crash"))).not.toContain("");
  await supervisor.act("stop", idOf("crash"));
});

test("no empty line is logged after a terminated last line", async () => {
  await load("whole", "echo begun; echo; echo end; exit 1");
  await supervisor.act("start", idOf("whole"));
  const first = await until("the logger", () => loggerOf(alice.uid, directoryOf("whole")));
  await until("a new logger", () => {
    const pid = loggerOf(alice.uid, directoryOf("whole"));
    return pid !== undefined && pid !== first;
  });
  const runs = linesIn(directoryOf("whole")).length / 3;
  await until("lines of another run", () => linesIn(directoryOf("whole")).length > 3 * runs);
  await supervisor.act("stop", idOf("whole"));
  const lines = linesIn(directoryOf("whole"));
  expect(lines).toEqual(Array.from({ length: lines.length / 3 }, () => ["begun", "", "end"]).flat());
});

test("an unterminated last line of a stopped daemon is logged", async () => {
  await load("stopped", "printf 'one\\ntwo'; exec sleep 1000");
  await supervisor.up(idOf("stopped"));
  await supervisor.act("stop", idOf("stopped"));
  await written("stopped", "one", "two");
  await supervisor.up(idOf("stopped"));
  await supervisor.act("stop", idOf("stopped"));
  await written("stopped", "one", "two", "one", "two");
});

test("the exit of one instance does not split an unterminated line of another", async () => {
  const first = "if mkdir $HOME/taken 2>/dev/null; then printf half; sleep 1; exit 1; fi";
  const others = "i=0; while [ $i -lt 8 ]; do i=$((i+1)); printf a; sleep 0.5; echo b; done; exec sleep 1000";
  await load("pair", `${first}; ${others}`, "instances = 2");
  await supervisor.up(idOf("pair"));
  await until(
    "eight lines of the other instance",
    () => linesIn(directoryOf("pair")).filter((line) => line.endsWith("b")).length >= 8,
  );
  expect(linesIn(directoryOf("pair")).filter((line) => line === "" || line === "a")).toEqual([]);
});

test("a logger that is slow to exit leads to no empty line in the log", async () => {
  const first = "if mkdir $HOME/begun 2>/dev/null; then echo begun; exit 1; fi";
  await load("held", `${first}; [ -e $HOME/again ] || exit 1; echo again; exec sleep 1000`);
  await supervisor.act("start", idOf("held"));
  await written("held", "begun");
  // Wait until the back-off is long enough for the logger to be closed before the next try.
  await until("a back-off of more than 1 s", async () => (await supervisor.status(idOf("held"))).cooldown > 1);
  const logger = await until("the logger", () => loggerOf(alice.uid, directoryOf("held")));
  process.kill(logger, "SIGSTOP");
  const TERM = 1n << 14n;
  await until("a pending TERM of the logger", () => (BigInt(`0x${statusOf(logger).get("ShdPnd")}`) & TERM) !== 0n);
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.kill(logger, "SIGCONT");
  await until("a new logger", () => {
    const pid = loggerOf(alice.uid, directoryOf("held"));
    return pid !== undefined && pid !== logger;
  });
  alice.write("again", "");
  await supervisor.act("start", idOf("held"));
  await written("held", "begun", "again");
});
